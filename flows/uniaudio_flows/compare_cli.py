"""`uniaudio compare A B | leaderboard`, typed. Light to import."""

import argparse
from pathlib import Path
from typing import Any


def add_commands(commands: Any) -> None:
    text = "which of two checkpoints, or versions of scores, is better, metric by metric"
    compare = commands.add_parser("compare", help=text, description=text)
    for name in ("first", "second"):
        compare.add_argument(name, help="a ref or the start of an id, of scores or of checkpoint")
    compare.add_argument("--out", help="a folder for comparison.md, .tex and .json, and both sides as lmms-eval's JSON")
    compare.set_defaults(run=_compare)
    text = "all versions of scores in the store, side by side"
    board = commands.add_parser("leaderboard", help=text, description=text)
    board.add_argument("--csv", help="a file for all rows")
    board.set_defaults(run=_leaderboard)


def _compare(options: argparse.Namespace) -> int:
    from uniaudio_flows import comparison_forms as forms
    from uniaudio_flows.comparison import compare

    found = compare(_store(), options.first, options.second)
    print(forms.markdown(found), end="")
    if options.out:
        folder = Path(options.out)
        folder.mkdir(parents=True, exist_ok=True)
        texts = {
            "comparison.md": forms.markdown(found),
            "comparison.tex": forms.latex(found),
            "comparison.json": forms.plain_json(found),
            "first.lmms-eval.json": forms.lmms_eval(found.first),
            "second.lmms-eval.json": forms.lmms_eval(found.second),
        }
        for name, text in texts.items():
            (folder / name).write_text(text)
    return 0


def _leaderboard(options: argparse.Namespace) -> int:
    from uniaudio_flows import leaderboard

    found = leaderboard.frame(_store())
    print(leaderboard.markdown(found), end="")
    if options.csv:
        found.write_csv(options.csv)
    return 0


def _store() -> Any:
    from uniaudio_schemas.store import Store

    from uniaudio_flows.settings import load_settings

    return Store(load_settings().store)
