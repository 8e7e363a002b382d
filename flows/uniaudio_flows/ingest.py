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


def _show_corpus(corpus: "CorpusSurvey", say: Callable[[str], None]) -> None:
    say(corpus.name)
    for line in corpus.formats or ("none is recognized: files without labels",):
        say(f"  format    {line}")
    if corpus.num_clips:
        estimated = f" (estimated from {corpus.num_probed} files)" if corpus.num_probed < corpus.num_files else ""
        say(
            f"  clips     {corpus.num_clips:,} in {corpus.num_files:,} files, {spoken(corpus.seconds)}{estimated}; with text "
            f"{_share(corpus.num_with_text, corpus.num_clips)}, with speaker {_share(corpus.num_with_speaker, corpus.num_clips)}"
        )
    if corpus.num_documents:
        say(f"  texts     {corpus.num_documents:,} documents")
    if corpus.splits:
        say("  splits    " + ", ".join(f"{split} {count:,}" for split, count in corpus.splits.items()))
    for reason, (count, examples) in corpus.problems.items():
        say(f"  problem   {reason} {count:,}, such as")
        for example in examples:
            say(f"              {example}")
    if corpus.card and corpus.num_clips:
        say(f"  card      corpora/{corpus.name}.toml that says the same:")
        for line in corpus.card.split("\n"):
            say(f"              {line}")


def _share(count: int, total: int) -> str:
    return f"{count:,} ({100 * count / total:.0f} %)"
