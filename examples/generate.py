"""Let a model write down what it hears, and speak. Needs layer 1 alone.

python examples/generate.py                                an untrained model of 100,000 parameters: its answers are noise
python examples/generate.py --model model clip.wav         yours: `uniaudio lm export data/store --out model`
"""

import argparse
from pathlib import Path

from uniaudio import UniAudio
from uniaudio.run.clips import write_clip
from uniaudio.run.folder import Parts
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.tasks import TASKS
from uniaudio.testing import a_waveform, tiny_codec, tiny_lm
from uniaudio.text.tokenizer import ByteTokenizer


def untrained() -> UniAudio:
    """A model with every part of the large ones and random weights."""
    codec = tiny_codec()
    vocabulary = Vocabulary.build(
        ByteTokenizer(), codec.config.reasoning_codebook_size, codec.config.reconstruction_codebook_size
    )
    return UniAudio(
        Parts(
            model=tiny_lm(vocabulary).eval().requires_grad_(False),
            vocabulary=vocabulary,
            tokenizer=ByteTokenizer(),
            tasks=frozenset(TASKS),
            codec_fingerprint=codec.fingerprint,
            load_codec=tiny_codec,
        )
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Transcribe a clip, and speak a sentence.")
    parser.add_argument("clip", nargs="?", help="an audio file")
    parser.add_argument("--model", help="folder of a model, or a store with a checkpoint")
    parser.add_argument("--out", default="spoken.wav", help="where the speech goes")
    options = parser.parse_args(arguments)
    model = UniAudio.from_pretrained(options.model) if options.model else untrained()

    heard = model.run("asr", options.clip or a_waveform(1.0), max_text=40)
    print(f"asr  {heard.text!r} (ended by {heard.finished})")

    spoken = model.run("tts", text="Good morning.", temperature=0.9, top_k=50, seed=7, max_seconds=2)
    write_clip(Path(options.out), spoken.audio)
    print(f"tts  {len(spoken.audio) / 24_000:.2f} s in {options.out}")


if __name__ == "__main__":
    main()
