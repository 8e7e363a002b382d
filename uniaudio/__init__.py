"""The model of an open UniAudio 2.0, alone: audio, codec, sequences, language model, training, metrics.

START HERE: `uniaudio.codec.codec.ReasoningCodec` turns audio into tokens and back, `uniaudio.lm.model.UniAudioLM`
predicts text and audio tokens, `uniaudio.stages` says how both are trained; `UniAudio.from_pretrained(path).run("asr",
"clip.wav")` uses what was trained. Needs torch, numpy, pyarrow and
safetensors; audio files, pretrained encoders and metrics are extras, imported inside the functions that use them.
Never imports ray, prefect or polars, and never touches the network.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uniaudio.run.model import UniAudio as UniAudio

__all__ = ["UniAudio", "__version__"]
__version__: str
"""Version of the installed distribution, such as "0.1.0"."""


def __getattr__(name: str) -> Any:
    # Loaded when asked for: the package itself imports no torch.
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("uniaudio")
        except PackageNotFoundError:  # run from its source, without being installed
            return "0+unknown"
    if name != "UniAudio":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from uniaudio.run.model import UniAudio

    return UniAudio
