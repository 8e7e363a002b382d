"""`uniaudio ingest PATH`: what lies in a folder, and with what; or a version of `raw` made of it.

LibriSpeech
  format    LibriSpeech: 4 chapters of *.trans.txt, SPEAKERS.TXT
  clips     4 in 4 files, 6.9 s; with text 4 (100 %), with speaker 4 (100 %)
  splits    val 4
  problem   missing 2, such as
              LibriSpeech/dev-clean/8000/1200/8000-1200-0004.flac: named in 8000-1200.trans.txt, but not there
  card      corpora/LibriSpeech.toml that says the same:
              format = "librispeech"
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from uniaudio_schemas.durations import spoken
from uniaudio_schemas.errors import UsageError

from uniaudio_flows.settings import Settings

if TYPE_CHECKING:
    from uniaudio_pipelines.source_to_raw.survey import CorpusSurvey


def ingest(path: str, settings: Settings, say: Callable[[str], None]) -> int:
    """Run `ingest-corpus` on the folder and say what its log says; exit code 0 if it completed, else 1."""
    from uniaudio_flows.deployments import run_deployment
    from uniaudio_flows.services import running_services

    if not Path(path).is_dir():
        raise UsageError(f"`path` must be a folder of audio and text files, but {path} is none.")
    if "prefect-worker" not in running_services(settings):
        raise UsageError("no services are running: start them with `uniaudio up`.")
    parameters = {"source": str(Path(path).resolve())}
    return 0 if run_deployment("ingest-corpus/local", settings, say, parameters) else 1


def show_survey(path: str, say: Callable[[str], None], *, as_json: bool = False) -> int:
    """Say what the folder holds, for people or as the JSON of `CorpusSurvey`s; nothing is written."""
    from uniaudio_pipelines.source_to_raw.survey import survey

    if as_json:
        say(json.dumps([asdict(corpus) for corpus in survey(path)], ensure_ascii=False, indent=1))
    else:
        for corpus in survey(path):
            _show_corpus(corpus, say)
    return 0


def _show_corpus(found: "CorpusSurvey", say: Callable[[str], None]) -> None:
    say(found.name)
    for line in found.formats or ("none is recognized: files without labels",):
        say(f"  format    {line}")
    if found.num_clips:
        estimated = f" (estimated from {found.num_probed} files)" if found.num_probed < found.num_files else ""
        say(
            f"  clips     {found.num_clips:,} in {found.num_files:,} files, {spoken(found.seconds)}{estimated}; with text "
            f"{_share(found.num_with_text, found.num_clips)}, with speaker {_share(found.num_with_speaker, found.num_clips)}"
        )
    if found.num_documents:
        say(f"  texts     {found.num_documents:,} documents")
    if found.splits:
        say("  splits    " + ", ".join(f"{split} {count:,}" for split, count in found.splits.items()))
    for reason, (count, examples) in found.problems.items():
        say(f"  problem   {reason} {count:,}, such as")
        for example in examples:
            say(f"              {example}")
    if found.card and found.num_clips:
        say(f"  card      corpora/{found.name}.toml that says the same:")
        for line in found.card.split("\n"):
            say(f"              {line}")


def _share(count: int, total: int) -> str:
    return f"{count:,} ({100 * count / total:.0f} %)"
