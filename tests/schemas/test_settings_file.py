"""Settings from a file, which the environment outdoes."""

import os
from pathlib import Path

import pytest
from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.settings_file import setting


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("UNIAUDIO_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_the_environment_wins_and_the_file_speaks_where_it_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert setting("UNIAUDIO_SIZE") == ""
    Path("uniaudio.toml").write_text('size = "starter"\nprefect_port = 4300\n')
    assert (setting("UNIAUDIO_SIZE"), setting("UNIAUDIO_PREFECT_PORT")) == ("starter", "4300")
    monkeypatch.setenv("UNIAUDIO_SIZE", "paper_1b")
    assert setting("UNIAUDIO_SIZE") == "paper_1b"


def test_a_changed_file_counts_at_once() -> None:
    file = Path("uniaudio.toml")
    for number, size in enumerate(("debug", "starter")):
        file.write_text(f'size = "{size}"\n')
        os.utime(file, (number, number))
        assert setting("UNIAUDIO_SIZE") == size


def test_paths_are_seen_from_the_file_wherever_the_reader_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "uniaudio.toml").write_text(
        'source = "recordings"\nmodels = "/models"\nstore = "s3://bucket/store"\n'
    )
    monkeypatch.setenv("UNIAUDIO_SETTINGS", "mine/uniaudio.toml")
    assert setting("UNIAUDIO_SOURCE") == str(tmp_path / "mine" / "recordings")
    assert (setting("UNIAUDIO_MODELS"), setting("UNIAUDIO_STORE")) == ("/models", "s3://bucket/store")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('scource = "a"', "settings are .*source.* but it has scource"),
        ("size = starter", r"uniaudio\.toml: Invalid value"),
        ("source = ['a']", "`source` must be a string or a whole number, but is"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(text: str, message: str) -> None:
    Path("uniaudio.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        setting("UNIAUDIO_SIZE")
