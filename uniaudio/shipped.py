"""The trained weights that come with the project: in `models/` of its repository or, without a clone, in the wheel `uniaudio-starter`.

models/starter/config.json, uniaudio.json, …     the model, where there is one
models/starter/codec/config.json, …              its codec
"""

from importlib.util import find_spec
from pathlib import Path

STARTER = Path(__file__).parents[1] / "models" / "starter"


def shipped_model() -> Path | None:
    """The folder of the model of size `starter`, its codec inside; None where the project is installed without it."""
    return _first_with("uniaudio.json")


def shipped_codec() -> Path | None:
    """The folder of the codec of size `starter`; None where the project is installed without weights."""
    folder = _first_with("codec/config.json")
    return folder and folder / "codec"


def _first_with(file: str) -> Path | None:
    """The folder of weights that has `file`: that of the clone, else that of the wheel (`make starter-wheel`)."""
    package = find_spec("uniaudio_starter")
    wheels = [Path(folder) / "starter" for folder in (package and package.submodule_search_locations) or ()]
    return next((folder for folder in (STARTER, *wheels) if (folder / file).is_file()), None)
