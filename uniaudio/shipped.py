"""The trained weights that come with the project, in `models/` of its repository."""

from pathlib import Path

STARTER = Path(__file__).parents[1] / "models" / "starter"


def shipped_model() -> Path | None:
    """The folder of the model of size `starter`, its codec inside; None where the project is installed without weights."""
    return STARTER if (STARTER / "uniaudio.json").is_file() else None


def shipped_codec() -> Path | None:
    """The folder of the codec of size `starter`; None where the project is installed without weights, as from a wheel."""
    folder = STARTER / "codec"
    return folder if (folder / "config.json").is_file() else None
