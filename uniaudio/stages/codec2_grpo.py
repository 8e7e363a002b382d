"""Phase `grpo`: reinforcement learning of the reasoning branch from judged descriptions. Not there yet."""

from uniaudio_schemas.errors import UsageError

from uniaudio.stages.codec_phase import CodecPhase


def grpo(size: str = "debug") -> CodecPhase:
    raise UsageError(
        f"Phase `grpo` is not there in this version (size {size}): train `scalar`, `reasoning`, `reconstruction`."
    )
