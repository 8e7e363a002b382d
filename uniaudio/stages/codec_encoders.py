"""Phase `encoders`: pre-training of small encoders of our own. Not there yet: `debug` uses random ones, larger sizes
read pretrained ones from local folders.
"""

from uniaudio_schemas.errors import UsageError

from uniaudio.stages.codec_phase import CodecPhase


def encoders(size: str = "debug") -> CodecPhase:
    raise UsageError(f"Phase `encoders` is not there in this version (size {size}): encoders are random or pretrained.")
