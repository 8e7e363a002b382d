import resource
from pathlib import Path

import pytest
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_schemas.errors import StoreError
from uniaudio_schemas.store import Store


def test_a_plan_without_room_for_its_listing_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / f"source/books/{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"page {number}")
    job, store = SourceToRaw(source=str(tmp_path / "source")), Store(tmp_path / "store")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(StoreError, match=rf"^{tmp_path}/store/cache: no space left"):
            job.plan(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "store/cache").iterdir())
    assert job.plan(store).units
