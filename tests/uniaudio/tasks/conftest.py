"""Golden tensors of the authors' data loader."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def parity_folder() -> Path:
    """`UNIAUDIO_PARITY`, or `../shared/parity` next to the repository; skips the test when absent."""
    folder = Path(os.environ.get("UNIAUDIO_PARITY", REPOSITORY.parent / "shared" / "parity")) / "lm"
    if not (folder / "collate.pt").is_file():
        pytest.skip(f"no golden tensors at {folder}; set UNIAUDIO_PARITY to the folder that holds lm/collate.pt")
    return folder
