"""`uniaudio compare A B | leaderboard | listen`, typed. Light to import."""

import argparse
import shutil
from pathlib import Path
from typing import Any

_SOUNDS = "sounds"
"""Folder of the examples' sounds beside a comparison."""


def add_commands(commands: Any) -> None:
    text = "which of two checkpoints, codecs, or versions of scores is better, metric by metric"
    compare = commands.add_parser("compare", help=text, description=text)
    for name in ("first", "second"):
        compare.add_argument(name, help="a ref or the start of an id, of scores or of checkpoint")
    compare.add_argument(
        "--out",
        help="a folder for comparison.md with the sounds of its examples, .tex and .json, and both sides as lmms-eval's JSON",
    )
    compare.add_argument(
        "--codecs", action="store_true", help="both are of codec_scores or of codec (`evaluate-codec`)"
    )
    compare.add_argument("--json", action="store_true", help="print JSON")
    compare.set_defaults(run=_compare)
    text = "all versions of scores in the store, side by side"
    board = commands.add_parser("leaderboard", help=text, description=text)
    board.add_argument("--csv", help="a file for all rows")
    board.add_argument(
        "--codecs", action="store_true", help="of codecs and what they were measured beside (`evaluate-codec`)"
    )
    board.add_argument("--json", action="store_true", help="print JSON")
    board.set_defaults(run=_leaderboard)
    text = "a test by ear of versions of scores, for a browser and for webMUSHRA; --results reads what listeners said"
    listen = commands.add_parser("listen", help=text, description=text)
    listen.add_argument("folder", help="of the test")
    listen.add_argument("names", nargs="*", help="systems: refs or starts of ids, of scores or of checkpoint")
    listen.add_argument("--benchmark", default="tts", help="whose sounds are heard (default tts)")
    listen.add_argument("--kind", choices=("mushra", "ab"), default="mushra")
    listen.add_argument("--results", nargs="+", help="CSV files of listeners")
    listen.set_defaults(run=_listen)


def _compare(options: argparse.Namespace) -> int:
    from uniaudio_flows import comparison_forms as forms
    from uniaudio_flows.comparison import compare

    store = _store()
    comparison = compare(store, options.first, options.second, of_codecs=options.codecs)
    print(forms.plain_json(comparison) if options.json else forms.markdown(comparison), end="")
    if options.out:
        folder = Path(options.out)
        folder.mkdir(parents=True, exist_ok=True)
        texts = {
            "comparison.md": forms.markdown(comparison, sounds=_SOUNDS),
            "comparison.tex": forms.latex(comparison),
            "comparison.json": forms.plain_json(comparison),
            "first.lmms-eval.json": forms.lmms_eval(comparison.first),
            "second.lmms-eval.json": forms.lmms_eval(comparison.second),
        }
        for name, text in texts.items():
            (folder / name).write_text(text)
        for blob in comparison.sounds:
            (folder / _SOUNDS).mkdir(exist_ok=True)
            shutil.copyfile(store.open_blob(blob), folder / _SOUNDS / f"{blob}.flac")
    return 0


def _leaderboard(options: argparse.Namespace) -> int:
    from uniaudio_flows import leaderboard

    if options.codecs:
        scores, markdown = leaderboard.codec_frame(_store()), leaderboard.codec_markdown
    else:
        scores, markdown = leaderboard.frame(_store()), leaderboard.markdown
    print(scores.write_json() + "\n" if options.json else markdown(scores), end="")
    if options.csv:
        scores.write_csv(options.csv)
    return 0


def _listen(options: argparse.Namespace) -> int:
    folder = Path(options.folder)
    if options.results:
        from uniaudio_flows.listening.results import read_results

        rows, left_out = read_results(folder, [Path(path) for path in options.results])
        for row in rows:
            interval = "" if row["low"] is None else f"  {row['low']:.1f} … {row['high']:.1f}"
            print(
                f"{row['system']:<24}{row['mean']:>6.1f}{interval}  {row['ratings']} ratings of {row['listeners']} listeners"
            )
        if left_out:
            print(f"left out, since they missed the hidden reference: {', '.join(left_out)}")
        return 0
    from uniaudio_flows.listening.design import write_test

    count = write_test(_store(), options.names, options.benchmark, options.kind, folder)
    print(f"{folder / 'index.html'}: {count} pages; {folder / 'config.yaml'} is the same for webMUSHRA")
    return 0


def _store() -> Any:
    from uniaudio_schemas.store import Store

    from uniaudio_flows.settings import load_settings

    return Store(load_settings().store)
