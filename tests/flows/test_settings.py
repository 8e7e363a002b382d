"""Where data are, from the environment."""

from pathlib import Path

import pytest
from uniaudio_flows.settings import load_settings, service_environment
from uniaudio_schemas.errors import UsageError


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("UNIAUDIO_DATA", "UNIAUDIO_STORE", "UNIAUDIO_SOURCE", "UNIAUDIO_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_data_in_an_object_store_are_the_store_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNIAUDIO_DATA", "s3://bucket/prefix/")
    settings = load_settings()
    assert settings.store == "s3://bucket/prefix/store" and settings.data == tmp_path / "data"
    assert settings.source == tmp_path / "data/source" and settings.models == tmp_path / "data/models"
    passed = service_environment(settings)
    assert passed["UNIAUDIO_STORE"] == settings.store
    for name in ("UNIAUDIO_DATA", "UNIAUDIO_STORE"):
        monkeypatch.setenv(name, passed[name])
    assert load_settings() == settings


def test_a_store_of_its_own_is_taken_before_what_follows_from_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIAUDIO_DATA", "elsewhere")
    monkeypatch.setenv("UNIAUDIO_STORE", "gs://bucket/store")
    settings = load_settings()
    assert settings.store == "gs://bucket/store" and settings.data == Path("elsewhere").resolve()


@pytest.mark.parametrize("variable", ["UNIAUDIO_DATA", "UNIAUDIO_STORE"])
def test_an_address_with_credentials_is_refused_without_repeating_them(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "s3://key:secret@bucket/prefix")
    with pytest.raises(UsageError, match="without credentials and options") as error:
        load_settings()
    assert "secret" not in str(error.value)
