"""`uniaudio codec`: import released files, export, encode, decode, analyse, evaluate.

    uniaudio codec import ReasoningCodec.checkpoint sqcodec.pth --out codec
    uniaudio codec export --store data/store --out codec --dtype bfloat16
    uniaudio codec encode talk.mp3 --model codec --out talk.codes
    uniaudio codec decode talk.codes --model codec --out talk.flac --steps 10 --guidance 1.5 --seed 0
    uniaudio codec analyse talk.mp3 --model codec
    uniaudio codec evaluate --model codec --store data/store --out quality --device cuda

Everything heavy is imported by the command that needs it.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.extras import optional_packages

if TYPE_CHECKING:
    import numpy as np

    from uniaudio.codec.codec import ReasoningCodec

SUFFIXES = (".flac", ".wav")
DTYPES = ("float32", "bfloat16", "float16")


def add_commands(commands: Any) -> None:
    """Add `codec` and what it can do to the subparsers of `uniaudio`."""
    actions = commands.add_parser("codec", help="import, export, run and measure an audio codec").add_subparsers(
        dest="action", metavar="ACTION", required=True
    )
    importing = actions.add_parser("import", help="released files to one safetensors folder")
    importing.add_argument(
        "files", nargs="+", metavar="FILE", help="the codec's, the scalar autoencoder's, music_ssl.pt"
    )
    importing.add_argument("--out", required=True, help="the folder to write")
    importing.add_argument(
        "--scalar", choices=("causal", "noncausal"), default="causal", help="how sqcodec pads: no file shows it"
    )
    importing.add_argument(
        "--whisper",
        choices=("padded", "real"),
        default="padded",
        help="what Whisper hears: 30 s, as in the training of these weights, or the real length (faster; most codes change)",
    )
    importing.set_defaults(run=_import)
    exporting = actions.add_parser("export", help="a codec of a store to a folder of its own")
    exporting.add_argument("--store", required=True, metavar="DIR", help="the store")
    exporting.add_argument("--ref", default="latest", help="which version of `codec` (latest)")
    exporting.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
    exporting.add_argument(
        "--dtype", choices=DTYPES, default="float32", help="what its weights are rounded to (float32: not at all)"
    )
    exporting.set_defaults(run=_export)
    encoding = actions.add_parser("encode", help="an audio file of any rate and length to codes")
    encoding.add_argument("input", metavar="IN", help="an audio file")
    encoding.set_defaults(run=_encode)
    decoding = actions.add_parser("decode", help="codes to audio")
    decoding.add_argument("input", metavar="IN", help="a file that `encode` wrote")
    _add_flow(decoding)
    decoding.add_argument("--seed", type=int, default=0, help="of the noise (0)")
    decoding.set_defaults(run=_decode)
    analysing = actions.add_parser("analyse", help="what the reasoning codes of an audio file say, in words")
    analysing.add_argument("input", metavar="IN", help="an audio file")
    analysing.add_argument("--json", action="store_true", help="print JSON")
    _add_model(analysing)
    analysing.set_defaults(run=_analyse)
    for parser, what in ((encoding, "codes"), (decoding, "a .flac or .wav file")):
        _add_model(parser)
        parser.add_argument("--out", required=True, metavar="FILE", help=what)
    _add_evaluate(actions)


def _add_flow(parser: Any) -> None:
    parser.add_argument("--steps", type=int, help="Euler steps of the flow (the codec's own)")
    parser.add_argument("--guidance", type=float, default=1.5, help="1.0 is half the cost (1.5)")


def _add_model(parser: Any) -> None:
    parser.add_argument(
        "--model", default="", metavar="DIR", help="a codec's folder (the starter codec that comes with the project)"
    )
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="where it runs (cpu); some codes differ between the two",
    )


def _add_evaluate(actions: Any) -> None:
    evaluating = actions.add_parser("evaluate", help="quality on held-out clips, beside Opus, Codec2 and Speex")
    _add_model(evaluating)
    _add_flow(evaluating)
    evaluating.add_argument("--store", required=True, metavar="DIR", help="the store whose held-out clips are used")
    evaluating.add_argument("--out", required=True, metavar="DIR", help="evaluation.md and evaluation.json go here")
    evaluating.add_argument("--clips", type=int, default=20, help="of each domain, at most (20)")
    evaluating.add_argument(
        "--coders", metavar="DIR", help="where opus-tools, codec2 and speex are unpacked, if not installed"
    )
    evaluating.add_argument("--recognizer", metavar="DIR", help="a Whisper folder of transformers: word error rates")
    evaluating.add_argument("--speaker", metavar="FILE", help="resemblyzer.pt: how alike the voices are")
    evaluating.set_defaults(run=_evaluate)


def _import(options: argparse.Namespace) -> int:
    from uniaudio.codec.released.importing import import_released

    choices = {"causal": options.scalar == "causal", "pad_whisper": options.whisper == "padded"}
    report = import_released(options.files, options.out, **choices)
    for row in report["files"]:
        print(f"{row['file']}: {row['holds']}, {row['num_tensors']} tensors, sha256 {row['sha256'][:16]}")
    assumed = ", ".join(f"{name} = {value}" for name, value in report["assumed"].items())
    print(f"assumed, since no tensor shows it: {assumed}")
    if report["initialized_here"]:
        print(f"in no file, initialized here: {len(report['initialized_here'])} tensors of the phone decoder")
    print(f"{options.out}: {report['size']}, {report['num_tensors']} tensors, {report['num_parameters']} values")
    return 0


def _export(options: argparse.Namespace) -> int:
    import torch
    from uniaudio_schemas.kinds.codec import CodecRow
    from uniaudio_schemas.store import Store

    from uniaudio.codec.codec import ReasoningCodec

    store = Store.from_uri(options.store)
    manifest = store.head("codec", options.ref)
    if manifest is None:
        raise UsageError(f"`codec` has no version behind `{options.ref}` in {options.store}.")
    (row,) = store.rows(manifest, CodecRow)
    codec = ReasoningCodec.load_files(row.config, store.open_blob(row.weights))
    codec.save(options.out, getattr(torch, options.dtype))
    print(f"{options.out}: {codec.config.size}, fingerprint {ReasoningCodec.load(options.out).fingerprint}")
    return 0


def _encode(options: argparse.Namespace) -> int:
    from uniaudio.audio.read import probe, read_blocks
    from uniaudio.codec.codes_file import save_codes

    codec = _load_codec(options)
    codes = codec.encode_blocks(read_blocks(options.input), probe(options.input).sample_rate)
    save_codes(codes, _parent_made(options.out), fingerprint=codec.fingerprint)
    print(
        f"{options.out}: {codes.num_samples / 24_000:.2f} s, {len(codes.reasoning)} reasoning and "
        f"{len(codes.reconstruction)} reconstruction frames of 8 codes"
    )
    return 0


def _analyse(options: argparse.Namespace) -> int:
    from uniaudio.audio.read import probe, read_blocks
    from uniaudio.codec.analysis import analyse

    codec = _load_codec(options)
    codes = codec.encode_blocks(read_blocks(options.input), probe(options.input).sample_rate)
    pieces = analyse(codec, codes)
    if options.json:
        print(json.dumps([asdict(piece) for piece in pieces], ensure_ascii=False, indent=1))
        return 0
    for piece in pieces:
        print(f"{piece.first_s:.1f} s")
        answers = {**({} if piece.spelled is None else {"spelled": piece.spelled}), **piece.answers}
        for question, answer in answers.items():
            print(f"  {question} {answer!r}")
    return 0


def _decode(options: argparse.Namespace) -> int:
    from uniaudio.codec.codes_file import load_codes

    if Path(options.out).suffix not in SUFFIXES:
        raise UsageError(f"`--out` must end in {' or '.join(SUFFIXES)}, but is {options.out}.")
    codec = _load_codec(options)
    codes = load_codes(options.input, fingerprint=codec.fingerprint)
    pieces = codec.decode_stream(codes, steps=options.steps, guidance=options.guidance, seed=options.seed)
    num_samples = _write(pieces, _parent_made(options.out))
    print(f"{options.out}: {num_samples / 24_000:.2f} s at 24000 Hz")
    return 0


def _load_codec(options: argparse.Namespace) -> "ReasoningCodec":
    """Load the codec `--model` on `--device`."""
    import torch

    from uniaudio.codec.codec import ReasoningCodec
    from uniaudio.shipped import shipped_codec

    if options.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("`--device` must be one that torch finds here, but is cuda.")
    folder = options.model or shipped_codec()
    if not folder:
        raise UsageError(
            "`--model` must be the folder of a codec, since this installation comes without weights (the wheel `uniaudio-starter` has them)."
        )
    return ReasoningCodec.load(folder).to(options.device)


def _write(pieces: "Iterator[np.ndarray]", path: Path) -> int:
    """Each piece goes to the file when it is there: memory does not grow with the audio."""
    with optional_packages():
        import soundfile

    num_samples = 0
    with soundfile.SoundFile(path, "w", samplerate=24_000, channels=1, subtype="PCM_16") as file:
        for piece in pieces:
            file.write(piece.clip(-1.0, 1.0))
            num_samples += len(piece)
    return num_samples


def _evaluate(options: argparse.Namespace) -> int:
    from uniaudio_schemas.store import Store

    from uniaudio.codec.evaluation.evaluate import Listeners, evaluate, write_tables
    from uniaudio.codec.evaluation.held_out import held_out_clips

    if options.clips < 1:
        raise UsageError(f"`--clips` must be 1 or more, but is {options.clips}.")
    if Path(options.out).is_file():
        raise UsageError(f"`--out` must be a folder, but {options.out} is a file.")
    codec = _load_codec(options)
    clips = held_out_clips(Store.from_uri(options.store), options.clips)
    listeners = Listeners.load(options.recognizer, options.speaker)
    flow = {"steps": options.steps, "guidance": options.guidance}
    evaluation = evaluate(codec, clips, coders=options.coders, listeners=listeners, report=_report_clips, **flow)
    print(write_tables(evaluation, options.out))
    return 0


def _report_clips(done: int, total: int) -> None:
    print(f"\r{done} of {total} clips", end="\n" if done == total else "", file=sys.stderr, flush=True)


def _parent_made(path: str) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return Path(path)
