"""Makes `docs/starter.svg` and `docs/sounds/`: three clips that the shipped codec never heard, as recorded and as it gives them back. Makes
`docs/starter_model.svg` too: what the shipped model heard in six clips.

python -m docs.starter_picture SPEECH SOUND MUSIC [--recognizer WHISPER]
python -m docs.starter_picture --model SPEECH SPEECH SPEECH SPEECH SOUND SOUND
"""

import argparse
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import soundfile
from uniaudio_flows.report.sound import picture, spectrogram_db, ticks

from uniaudio.audio.frames import SAMPLE_RATE
from uniaudio.audio.read import read_audio
from uniaudio.audio.render import to_mono_24k
from uniaudio.codec.codec import ReasoningCodec
from uniaudio.run.model import UniAudio
from uniaudio.shipped import shipped_codec, shipped_model

FOLDER = Path(__file__).parent
MAX_S, START_S = 4.0, 20.0
WIDTH, HEIGHT, LEFT, TOP, ROW = 420, 120, 60, 34, 178
COLUMNS = ("as recorded", "at 1,000 bit/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--recognizer", default="")
    parser.add_argument(
        "--model", action="store_true", help="what the model heard in six clips, the last two of them sounds"
    )
    options = parser.parse_args()
    (FOLDER / "sounds").mkdir(exist_ok=True)
    clips = [_start(to_mono_24k(read_audio(Path(file)))) for file in options.files]
    if options.model:
        _draw(_answered(clips), "starter_model.svg")
    else:
        _draw(_decoded(clips, options.recognizer), "starter.svg")


def _decoded(clips: Sequence[np.ndarray], recognizer: str) -> list[str]:
    folder = shipped_codec()
    assert folder is not None, "models/starter has no codec"
    codec = ReasoningCodec.load(folder)
    panels = []
    for row, (kind, samples) in enumerate(zip(("speech", "sound", "music"), clips, strict=True)):
        (decoded,) = codec.decode(codec.encode([samples]))
        for column, (name, audio) in enumerate(((kind, samples), (f"{kind}-decoded", decoded))):
            _write(name, audio)
            words = f", heard by Whisper as {_heard(recognizer, audio)}" if kind == "speech" and recognizer else ""
            panels.append(_panel(column, row, f"{kind}, {COLUMNS[column]}{words}", audio))
    return panels


def _answered(clips: Sequence[np.ndarray]) -> list[str]:
    folder = shipped_model()
    assert folder is not None, "models/starter has no model"
    model = UniAudio.from_pretrained(folder)
    panels = []
    for number, samples in enumerate(clips):
        row, column = divmod(number, 2)
        task = "asr" if row < 2 else "audio_caption"
        _write(f"heard-{number + 1}", samples)
        panels.append(_panel(column, row, f"{task}: “{model.run(task, samples).text}”", samples))
    return panels


def _write(name: str, audio: np.ndarray) -> None:
    soundfile.write(FOLDER / "sounds" / f"{name}.flac", audio.clip(-1, 1), SAMPLE_RATE, subtype="PCM_16")


def _draw(panels: Sequence[str], name: str) -> None:
    size = f'width="{2 * (LEFT + WIDTH) + 20}" height="{3 * ROW}"'
    style = 'font-family="sans-serif" font-size="13" fill="#222"'
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{ground}{"".join(panels)}</svg>\n'
    (FOLDER / name).write_text(svg)


def _start(samples: np.ndarray) -> np.ndarray:
    """At most 4 s; of a long piece from 20 s on, where it has begun."""
    first = int(START_S * SAMPLE_RATE) if len(samples) > 2 * START_S * SAMPLE_RATE else 0
    return samples[first : first + int(MAX_S * SAMPLE_RATE)]


def _heard(recognizer: str, audio: np.ndarray) -> str:
    from uniaudio.codec.evaluation.evaluate import Listeners

    recognize = Listeners.load(recognizer, None).recognize
    assert recognize is not None
    return f"“{(recognize(audio, 'en') or '').strip()}”"


def _panel(column: int, row: int, title: str, audio: np.ndarray) -> str:
    """A spectrogram with seconds below and kHz beside it."""
    x, y = LEFT + column * (LEFT + WIDTH), TOP + row * ROW
    seconds = len(audio) / SAMPLE_RATE
    image = f'<image x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" preserveAspectRatio="none" href="{picture(spectrogram_db(audio, SAMPLE_RATE))}"/>'
    title_text = f'<text x="{x}" y="{y - 8}" font-weight="bold">{escape(title)}</text>'
    below = "".join(
        f'<text x="{x + WIDTH * tick.percent / 100:.0f}" y="{y + HEIGHT + 15}" text-anchor="middle">{tick.label}{" s" if tick.percent == 0 else ""}</text>'
        for tick in ticks(seconds, (0.5, 1.0), 10)
    )
    beside = "".join(
        f'<text x="{x - 6}" y="{y + HEIGHT * (1 - tick.percent / 100) + 4:.0f}" text-anchor="end">{tick.label}{" kHz" if tick.percent == 0 else ""}</text>'
        for tick in ticks(SAMPLE_RATE / 2000, (2.0, 4.0), 8)
    )
    return title_text + image + below + beside


if __name__ == "__main__":
    main()
