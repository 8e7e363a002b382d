"""Commands that make and show datasets. Light to import: Prefect is loaded by the command that needs it."""

import argparse
import sys
from functools import partial
from typing import Any

from uniaudio_schemas.pulse import Lines, pulse

from uniaudio_flows import compare_cli, evalset_cli, serve_cli

MADE_BY_FLOWS = (
    "raw", "annotated", "codec", "instructions", "tokens", "sequences", "checkpoint", "scores", "codec_scores"
)  # fmt: skip


def add_commands(commands: Any) -> None:
    """Add this layer's commands to `uniaudio`."""
    _add(commands, "up", _up, "start a Prefect server, a worker and a Ray head on loopback, and deploy the flows")
    _add(commands, "down", _down, "stop exactly what `up` started")
    demo = _add(commands, "demo", _demo, "from real audio to a trained, evaluated, queryable model")
    demo.add_argument(
        "--source",
        default="",
        metavar="FOLDER",
        help="your own audio, with or without texts; by default a corpus out of packages",
    )
    demo.add_argument("--stop", action="store_true", help="stop the services at the end")
    starter = _add(
        commands,
        "starter",
        _starter,
        "a corpus of eleven hours out of packages, and a model trained on it; run again, it goes on",
    )
    starter.add_argument("--source-only", action="store_true", help="lay out the corpus and train nothing")
    starter.add_argument(
        "--train-codec",
        action="store_true",
        help="train a codec too, instead of taking the one that comes with the project",
    )
    starter.add_argument("--stop", action="store_true", help="stop the services at the end")
    ingest = _add(commands, "ingest", _ingest, "make raw of a folder of audio and text; --dry-run says what it holds")
    ingest.add_argument("path", help="the folder; its top folders are the corpora")
    ingest.add_argument(
        "--dry-run", action="store_true", help="formats, clips, hours, labels, splits and problems by corpus"
    )
    export = _add(commands, "export", _export, "write raw for other readers: WebDataset, lhotse, datasets")
    export.add_argument("kind", nargs="?", choices=("raw",), default="raw", help="what is exported (default raw)")
    export.add_argument("folder", help="a new or empty folder")
    export.add_argument(
        "--to",
        choices=("webdataset", "lhotse", "datasets"),
        default="webdataset",
        help="tars and JSON lines, manifests with FLAC files, or Parquet with its features (default webdataset)",
    )
    export.add_argument("--ref", default="latest", help="of the version of raw (default latest)")
    make = _add(commands, "make", _make, "bring one dataset kind up to date, with its parents")
    make.add_argument("kind", choices=MADE_BY_FLOWS)
    show = _add(commands, "show", _show, "the datasets, their versions, rows and dropped rows")
    report = _add(commands, "report", _report, "write report.html")
    report.add_argument("--out", default="report.html", help="file to write (default report.html)")
    collect = _add(commands, "gc", _gc, "list old versions and leftovers; --delete removes them")
    collect.add_argument("--delete", action="store_true")
    for listing in (ingest, show, collect):
        listing.add_argument("--json", action="store_true", help="print JSON")
    lineage = _add(
        commands, "lineage", _lineage, "the way back from a version, model, example or clip to its files and licences"
    )
    lineage.add_argument(
        "id", help="KIND, KIND/REF, or the start of an id of a version, checkpoint, codec, sequence or clip"
    )
    lineage.add_argument(
        "--step", type=int, help="of a checkpoint: the examples of this training step (from 0) of its stage"
    )
    lineage.add_argument("--json", action="store_true")
    diff = _add(commands, "diff", _diff, "what differs between two versions of a kind")
    diff.add_argument("kind", help="such as tokens, of which it says how many codes of which clips changed")
    for name in ("first", "second"):
        diff.add_argument(name, help="a ref, or the start of a plan id or content id")
    diff.add_argument("--json", action="store_true")
    evalset_cli.add_command(commands)
    compare_cli.add_commands(commands)
    serve_cli.add_command(commands)
    forget = _add(
        commands, "forget", _forget, "list what comes from a source and the models that saw it; --really removes it"
    )
    forget.add_argument("source", help="a corpus, a path, a clip id, or a pattern of paths such as 'queen/*'")
    forget.add_argument(
        "--really", action="store_true", help="rewrite the shards that hold it, and never ingest it again"
    )
    forget.add_argument("--json", action="store_true", help="print JSON; what is done meanwhile goes to standard error")


def _add(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _up(_: argparse.Namespace) -> int:
    from uniaudio_flows.services import start_services
    from uniaudio_flows.settings import load_settings

    start_services(load_settings(), Lines(sys.stdout))
    return 0


def _down(_: argparse.Namespace) -> int:
    from uniaudio_flows.services import stop_services
    from uniaudio_flows.settings import load_settings

    stop_services(load_settings(), print)
    return 0


def _demo(options: argparse.Namespace) -> int:
    from uniaudio_flows.demo.run import run_demo
    from uniaudio_flows.settings import load_settings

    return run_demo(load_settings(), stop=options.stop, source=options.source)


def _starter(options: argparse.Namespace) -> int:
    from uniaudio_flows.settings import load_settings
    from uniaudio_flows.starter.run import run_starter

    return run_starter(
        load_settings(),
        Lines(sys.stdout),
        source_only=options.source_only,
        trains_codec=options.train_codec,
        stop=options.stop,
    )


def _ingest(options: argparse.Namespace) -> int:
    from uniaudio_flows.ingest import ingest, show_survey
    from uniaudio_flows.settings import load_settings

    if options.dry_run:
        return show_survey(options.path, print, as_json=options.json)
    return ingest(options.path, load_settings(), partial(print, file=sys.stderr, flush=True))


def _export(options: argparse.Namespace) -> int:
    from pathlib import Path

    from uniaudio_schemas.store import Store

    from uniaudio_flows.export import export_raw
    from uniaudio_flows.settings import load_settings

    say = Lines(sys.stderr)
    say(f"exporting raw {options.ref} to {options.folder}")
    with pulse(say, "exporting") as pulsing:

        def tell(line: str) -> None:
            pulsing.beat()
            print(line)

        export_raw(Store.from_uri(load_settings().store), Path(options.folder), options.ref, tell, options.to)
    return 0


def _make(options: argparse.Namespace) -> int:
    from uniaudio_flows.make import make_kind
    from uniaudio_flows.settings import load_settings

    return make_kind(options.kind, load_settings())


def _show(options: argparse.Namespace) -> int:
    from uniaudio_schemas.history.forget import unfinished
    from uniaudio_schemas.store import KINDS, Store

    from uniaudio_flows.settings import load_settings

    settings = load_settings()
    store = Store.from_uri(settings.store)
    refs = {kind: store.refs(kind) for kind in KINDS if kind != "dropped"}
    if options.json:
        versions = [
            {
                "kind": kind,
                "ref": ref,
                "rows": one.num_rows,
                "plan_id": one.plan_id,
                "content_id": one.content_id,
                "dropped": one.dropped,
            }
            for kind, heads in refs.items()
            for ref, one in sorted(heads.items())
        ]
        begun = [len(one.raw) for one in unfinished(store)]
        return _show_answer(
            {"store": settings.store, "versions": versions, "files_being_forgotten": begun}, [], as_json=True
        )
    if not any(refs.values()):
        print(f"{settings.store}: nothing yet; `uniaudio demo` or `uniaudio ingest FOLDER` begins")
        return 0
    print(f"{'kind':<14}{'ref':<14}{'rows':>8}  {'plan':<10}dropped")
    for kind, heads in refs.items():
        for ref, manifest in sorted(heads.items()):
            drops = ", ".join(f"{reason} {count}" for reason, count in sorted(manifest.dropped.items()))
            print(f"{kind:<14}{ref:<14}{manifest.num_rows:>8}  {manifest.plan_id[:8]:<10}{drops}")
    for one in unfinished(store):
        print(f"begun and not ended: forgetting {len(one.raw)} files; `uniaudio forget SOURCE --really` ends it first")
    return 0


def _report(options: argparse.Namespace) -> int:
    from pathlib import Path

    from uniaudio_schemas.store import Store

    from uniaudio_flows.report import write_report
    from uniaudio_flows.settings import load_settings

    with pulse(Lines(sys.stderr), "writing the report"):
        path = write_report(Store.from_uri(load_settings().store), Path(options.out))
    print(path.resolve())
    return 0


def _gc(options: argparse.Namespace) -> int:
    from uniaudio_schemas.store import Store

    from uniaudio_flows.settings import load_settings

    paths = Store.from_uri(load_settings().store).collect(dry_run=not options.delete)
    if options.json:
        return _show_answer({"files": [str(path) for path in paths], "removed": options.delete}, [], as_json=True)
    for path in paths:
        print(path)
    verb = "removed" if options.delete else "would be removed (`--delete` does it)"
    print(f"{len(paths)} files {verb}", file=sys.stderr)
    return 0


def _lineage(options: argparse.Namespace) -> int:
    from uniaudio_schemas.history.find import find
    from uniaudio_schemas.history.lineage import way_back

    from uniaudio_flows import history

    store = _store()
    named_row = find(store, options.id)
    if options.step is None:
        answer = way_back(store, named_row)
        return _show_answer(answer, history.lineage_lines(answer), as_json=options.json)
    answer = history.step_answer(store, named_row.manifest, options.step)
    return _show_answer(answer, history.step_lines(answer), as_json=options.json)


def _diff(options: argparse.Namespace) -> int:
    from uniaudio_schemas.history.difference import difference
    from uniaudio_schemas.history.find import version_named

    from uniaudio_flows.history import difference_lines

    store = _store()
    versions = [version_named(store, options.kind, name) for name in (options.first, options.second)]
    answer = difference(store, *versions)
    return _show_answer(answer, difference_lines(answer), as_json=options.json)


def _forget(options: argparse.Namespace) -> int:
    from uniaudio_flows.history import forget_source

    say = partial(print, file=sys.stderr if options.json else sys.stdout, flush=True)
    answer = forget_source(_store(), options.source, say, really=options.really)
    return _show_answer(answer, [], as_json=True) if options.json else 0


def _store() -> Any:
    from uniaudio_schemas.store import Store

    from uniaudio_flows.settings import load_settings

    return Store(load_settings().store)


def _show_answer(answer: dict[str, Any], lines: list[str], *, as_json: bool) -> int:
    import json

    print(json.dumps(answer, ensure_ascii=False, indent=1) if as_json else "\n".join(lines))
    return 0
