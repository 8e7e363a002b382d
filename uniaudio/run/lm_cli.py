"""`uniaudio lm`: other people's weights as a model of ours, and a checkpoint of a store as a folder of its own.

uniaudio lm import llm_ep3.checkpoint --config llm_config.yaml --out models/released --tokenizer llama-3.2/ --codec codec/
uniaudio lm import SmolLM2-135M/ --out models/start
uniaudio lm unpack SmolLM2-135M-Instruct.Q4_1.gguf --out SmolLM2-135M/
uniaudio lm export data/store --out models/mine
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from uniaudio_schemas.errors import UsageError

from uniaudio.run.working import working

_DTYPES = ("float32", "bfloat16", "float16")


def add_commands(commands: Any) -> None:
    """Adds `lm` to `uniaudio`."""
    parser = commands.add_parser("lm", help="take over released weights or a text model; export a checkpoint")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    take = actions.add_parser("import", help="a released checkpoint FILE, or a FOLDER with a LlamaForCausalLM")
    take.set_defaults(run=_import)
    take.add_argument("source", type=Path, metavar="FILE|FOLDER")
    take.add_argument("--out", type=Path, required=True, help="folder to write")
    take.add_argument("--config", type=Path, help="llm_config.yaml of a released checkpoint")
    take.add_argument("--tokenizer", type=Path, help="folder with tokenizer.json (default: FOLDER), or `bytes`")
    take.add_argument("--codec", type=Path, help="folder of the codec it is used with, copied into --out")
    take.add_argument("--dtype", choices=_DTYPES, help="of the weights written (default: as they are)")
    take.add_argument("--size", default="starter", help="of everything but a FOLDER's backbone (default starter)")
    take.add_argument("--seed", type=int, default=0, help="of everything but a FOLDER's backbone (default 0)")
    take.add_argument(
        "--skip-objects", action="store_true", help="leave out a checkpoint's objects that are no tensors, unread"
    )
    unpack = actions.add_parser("unpack", help="a LlamaForCausalLM in a GGUF FILE as a folder that `import` reads")
    unpack.set_defaults(run=_unpack)
    unpack.add_argument("source", type=Path, metavar="FILE")
    unpack.add_argument("--out", type=Path, required=True, help="folder to write")
    unpack.add_argument("--dtype", choices=_DTYPES, default="float32", help="of the weights written (default float32)")
    export = actions.add_parser("export", help="a checkpoint of a store as a folder that needs no store")
    export.set_defaults(run=_export)
    export.add_argument("source", type=Path, metavar="STORE")
    export.add_argument("--out", type=Path, required=True, help="folder to write")
    export.add_argument("--tokenizer", type=Path, help="folder of its text tokenizer, where that is not of bytes")
    export.add_argument("--dtype", choices=_DTYPES, help="of the weights written (default: as they are)")


def _import(options: argparse.Namespace) -> int:
    from uniaudio.run.importing import import_llama, import_release

    if not options.source.exists():
        raise UsageError(f"{options.source}: no such file or folder.")
    if options.source.is_dir():
        if options.config is not None or options.skip_objects:
            raise UsageError("`--config` and `--skip-objects` must be given with a checkpoint FILE, not with a FOLDER.")
        config = import_llama(
            options.source,
            options.out,
            tokenizer=options.tokenizer,
            codec=options.codec,
            size=options.size,
            seed=options.seed,
            dtype=options.dtype,
        )
    else:
        if options.config is None:
            raise UsageError("`--config` must be the llm_config.yaml of the released checkpoint.")
        config = import_release(
            options.source,
            options.config,
            options.out,
            tokenizer=options.tokenizer,
            codec=options.codec,
            dtype=options.dtype,
            skip_objects=options.skip_objects,
        )
    print(
        f"{options.out}: backbone {config.backbone.num_layers} x {config.width}, experts "
        f"{config.num_understanding_layers} and {config.num_generation_layers}, depth {config.local_decoder.num_layers} "
        f"x {config.local_decoder.width}, {config.text_size} text and {config.audio_size} audio ids"
    )
    if not (options.out / "tokenizer").is_dir() and options.config is not None:
        print("without `--tokenizer` (the LLaMA-3.2 tokenizer's folder) it cannot read or write text", file=sys.stderr)
    return 0


def _unpack(options: argparse.Namespace) -> int:
    from uniaudio.lm.gguf import unpack_gguf

    unpack_gguf(options.source, options.out, dtype=options.dtype)
    print(options.out)
    return 0


def _export(options: argparse.Namespace) -> int:
    with working(f"reading the model of {options.source}"):
        import torch  # here: it takes seconds

        from uniaudio.run.model import UniAudio

        model = UniAudio.from_pretrained(options.source, tokenizer=options.tokenizer)
    replaced = Path(options.out).exists()
    with working(f"writing {options.out}"):
        model.save(options.out, getattr(torch, options.dtype) if options.dtype else None)
    tasks = ", ".join(sorted(model.parts.tasks))
    print(f"{options.out}: {'replaced, ' if replaced else ''}trained on {tasks}")
    return 0
