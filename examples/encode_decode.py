"""Encode a clip into the two kinds of tokens, and decode it again. Needs layer 1 alone: no Ray, no Prefect, no store.

python examples/encode_decode.py                                   a made sound and an untrained codec: it shows shapes
python examples/encode_decode.py clip.wav --codec model/codec      your clip and a trained codec
"""

import argparse
from pathlib import Path

from uniaudio.codec.codec import ReasoningCodec
from uniaudio.run.clips import read_clip, write_clip
from uniaudio.testing import a_waveform, tiny_codec


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Encode a clip and decode it again.")
    parser.add_argument("clip", nargs="?", help="an audio file of any format and rate")
    parser.add_argument("--codec", help="folder of a codec, such as model/codec of an exported model")
    parser.add_argument("--out", default="again.wav", help="where the decoded audio goes")
    options = parser.parse_args(arguments)

    samples = read_clip(options.clip) if options.clip else a_waveform(2.0)  # [N] float32, mono at 24 kHz
    codec = ReasoningCodec.load(options.codec).eval() if options.codec else tiny_codec()

    (codes,) = codec.encode([samples])
    print(f"{codes.num_samples / 24_000:.2f} s of audio")
    print(f"reasoning       {codes.reasoning.shape}  5 frames a second, 8 codes each")
    print(f"reconstruction  {codes.reconstruction.shape}  12.5 frames a second, 8 codes each")
    print(f"first frames    {codes.reasoning[0].tolist()}  {codes.reconstruction[0].tolist()}")

    (again,) = codec.decode([codes], steps=4, seed=0)
    write_clip(Path(options.out), again)
    print(f"decoded {len(again)} samples into {options.out}")


if __name__ == "__main__":
    main()
