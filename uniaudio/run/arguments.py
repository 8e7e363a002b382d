"""The options of `uniaudio run` that say which model answers and how: declared here, and read into `Options`.

--group acoustic:temperature=0.5,top_k=20    -> Sampling(groups={"acoustic": Draw(temperature=0.5, top_k=20)})
"""

import argparse
from pathlib import Path
from typing import Any

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.settings_file import setting

from uniaudio.shipped import shipped_model


def add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        help="folder of a model, or store with a checkpoint (default $UNIAUDIO_MODEL, else the store, else the model that comes with the project)",
    )
    group.add_argument("--codec", help="folder of the codec, if not the model's own")
    group.add_argument("--tokenizer", help="folder of the text tokenizer, if not the model's own")
    group.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    group.add_argument("--batch", type=int, default=8, help="inputs answered together (default 8)")


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("sampling", "Default: greedy for text; temperature 0.9 and top-k 50 for audio.")
    group.add_argument("--temperature", type=float, help="0 is greedy")
    group.add_argument("--top-k", type=int, help="keep the k likeliest; 0 keeps all")
    group.add_argument("--top-p", type=float, help="keep the likeliest that hold this share")
    group.add_argument("--guidance", type=float, help="classifier-free guidance; 1 is off")
    group.add_argument("--repetition-penalty", type=float, help="weaken ids that came lately; 1 is off")
    group.add_argument("--no-repeat-ngram", type=int, help="no run of so many text tokens comes twice; 0 is off")
    group.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="STREAMS:NAME=VALUE,…",
        help="draw some streams differently: reasoning, semantic, acoustic or text, as in acoustic:temperature=0.5,top_k=20",
    )
    group.add_argument("--seed", type=int, default=0, help="input i draws from seed + i (default 0)")
    group.add_argument("--max-seconds", type=float, default=30.0, help="longest audio (default 30)")
    group.add_argument(
        "--window-seconds",
        type=float,
        default=0.0,
        help="audio decoded at once: shorter sounds sooner, longer better (default 20; with --stream the shortest, 3.2)",
    )
    group.add_argument("--max-text", type=int, default=256, help="most text tokens (default 256)")
    group.add_argument("--language", default="en", help="of the prompt: en, zh or yue (default en)")


def model_path(options: argparse.Namespace) -> str | Path:
    """What `--model` or a setting names, which may be of a hub; else the store, which is here or nowhere; where it is nowhere and no
    setting names one, the model that comes with the project."""
    if named := options.model or setting("UNIAUDIO_MODEL"):
        return named
    store = Path(store_path())
    is_named = bool(setting("UNIAUDIO_STORE") or setting("UNIAUDIO_DATA"))
    return store if is_named or store.exists() else shipped_model() or store


def store_path() -> str:
    data = setting("UNIAUDIO_DATA") or "data"
    return setting("UNIAUDIO_STORE") or f"{data}/store"


def answer_options(options: argparse.Namespace, task: Any) -> Any:
    from dataclasses import replace

    from uniaudio.run.options import Options, default_sampling

    stated = {
        "temperature": options.temperature,
        "top_k": options.top_k,
        "top_p": options.top_p,
        "cfg_scale": options.guidance,
        "repetition_penalty": options.repetition_penalty,
        "no_repeat_ngram": options.no_repeat_ngram,
        "groups": dict(_group(given) for given in options.group) or None,
    }
    changed = {name: value for name, value in stated.items() if value is not None}
    return Options(
        sampling=replace(default_sampling(task), seed=options.seed, **changed),
        max_seconds=options.max_seconds,
        max_text=options.max_text,
        decode_window_s=options.window_seconds,
        language=options.language,
    )


def _group(given: str) -> tuple[str, Any]:
    """`acoustic:temperature=0.5,top_k=20` -> the group's name and how it is drawn."""
    from uniaudio.lm.sampling import Draw

    name, _, settings = given.partition(":")
    values: dict[str, Any] = {}
    for assignment in settings.split(","):
        key, _, value = assignment.partition("=")
        try:
            values[key.strip().replace("-", "_")] = int(value) if key.strip().endswith("k") else float(value)
        except ValueError as error:
            raise UsageError(f"`--group` must be STREAMS:NAME=VALUE,…, but is {given!r}.") from error
    if unknown := sorted(set(values) - {"temperature", "top_k", "top_p"}):
        raise UsageError(f"`--group` must set temperature, top_k or top_p, but sets {', '.join(unknown)}.")
    return name, Draw(**values)
