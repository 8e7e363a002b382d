"""What makes a model's folder one that a hub and transformers read: how it is drawn from, its tokenizer at the top, and a card.

Writes   generation_config.json   what transformers' GenerationConfig reads: the draws that audio answers take where nobody says more
         tokenizer.json, …        the tokenizer once more, where AutoTokenizer looks; absent where text is bytes
         README.md                the model card: tasks, data with their licences, scores

`config.json` names `model_type` since it is written (`uniaudio.lm.weights`).
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniaudio_schemas.errors import UsageError
from uniaudio_schemas.extras import optional_packages
from uniaudio_schemas.history.find import Found
from uniaudio_schemas.history.lineage import way_back
from uniaudio_schemas.kinds.checkpoint import Checkpoint
from uniaudio_schemas.kinds.scores import Score

from uniaudio.run.options import WARM
from uniaudio.tasks import TASKS

if TYPE_CHECKING:
    from uniaudio_schemas.store import Store
    from uniaudio_schemas.store.manifest import Manifest

    from uniaudio.run.folder import Parts

CARD_FILE, GENERATION_FILE = "README.md", "generation_config.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a model comes from, as a store knows it."""

    sources: Sequence[dict[str, Any]] = ()
    """{"corpus": "queen", "licence": "freeware", "files": 29, "seconds": 79.9}"""
    scores: Sequence[Score] = ()
    stage: str = ""
    checkpoint_id: str = ""


def origin_of(store: "Store", manifest: "Manifest") -> Origin:
    """Origin of a version of `checkpoint`: the files behind it, and all its scores in the store."""
    row = next(iter(store.rows(manifest, Checkpoint)))
    scores = [
        score
        for version in store.versions("scores")
        for score in store.rows(version, Score)
        if score.checkpoint_id == row.checkpoint_id
    ]
    sources = way_back(store, Found(manifest=manifest))["sources"]
    return Origin(sources=sources, scores=scores, stage=row.stage, checkpoint_id=row.checkpoint_id)


def write_release(parts: "Parts", folder: Path, *, tokenizer: Path | None, text: str) -> None:
    """Completes the folder of a model that is written already; `text` is its card."""
    specials = parts.tokenizer.specials
    generation = {
        "_from_model_config": False,
        "bos_token_id": specials["bos"],
        "eos_token_id": specials["eos"],
        "pad_token_id": specials["pad"],
        "do_sample": True,
        "temperature": WARM.temperature,
        "top_k": WARM.top_k,
        "top_p": WARM.top_p,
        "max_new_tokens": 256,
    }
    (folder / GENERATION_FILE).write_text(json.dumps(generation, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if tokenizer is not None:
        for name in TOKENIZER_FILES:
            if (tokenizer / name).is_file():
                shutil.copyfile(tokenizer / name, folder / name)
        if not (folder / TOKENIZER_FILES[1]).exists():
            about = {"tokenizer_class": "PreTrainedTokenizerFast"}
            (folder / TOKENIZER_FILES[1]).write_text(json.dumps(about) + "\n", encoding="utf-8")
    (folder / CARD_FILE).write_text(text, encoding="utf-8")


def card(parts: "Parts", origin: Origin) -> str:
    """The model card, with the head that a hub reads."""
    names = [name for name, task in TASKS.items() if {name, task.mixture} & parts.tasks]
    num_parameters = sum(parameter.numel() for parameter in parts.model.parameters())
    return "\n".join(
        [
            *_head(origin),
            "",
            "# A model of UniAudio",
            "",
            f"Text and audio in, text and audio out: {num_parameters / 1e6:.1f} million parameters"
            + (f", trained up to {origin.stage}" if origin.stage else "")
            + (f", checkpoint `{origin.checkpoint_id[:8]}`." if origin.checkpoint_id else "."),
            "",
            "```python",
            "from uniaudio import UniAudio",
            "",
            'model = UniAudio.from_pretrained("this folder, or its name on a hub")',
            f"model.tasks  # {', '.join(names[:4])}{', …' if len(names) > 4 else ''}" if names else "model.tasks",
            "```",
            "",
            "## Tasks",
            "",
            *([f"- `{name}`: {TASKS[name].describe()}" for name in names] or ["None that can be run by itself."]),
            "",
            "## Data",
            "",
            *_data(origin),
            "",
            "## Scores",
            "",
            *_scores(origin),
            "",
        ]
    )


def _head(origin: Origin) -> list[str]:
    licences = sorted({str(one["licence"] or "unknown") for one in origin.sources})
    return [
        "---",
        "library_name: uniaudio",
        "pipeline_tag: any-to-any",
        "tags: [audio, speech, text-to-speech, automatic-speech-recognition]",
        # The model's own licence is for whoever publishes it to say: it depends on the data.
        "license: other",
        f"license_name: {json.dumps('of the data: ' + (', '.join(licences) or 'unknown'), ensure_ascii=False)}",
        "---",
    ]


def _data(origin: Origin) -> list[str]:
    if not origin.sources:
        return ["What it was trained on is not known here: it was not exported from a store."]
    rows = [
        f"| {one['corpus']} | {one['licence'] or 'unknown'} | {one['files']} | {one['seconds'] / 3600:.2f} |"
        for one in origin.sources
    ]
    return ["| corpus | licence | files | hours |", "|---|---|---|---|", *rows]


def _scores(origin: Origin) -> list[str]:
    if not origin.scores:
        return ["None were measured of this checkpoint."]
    rows = [
        f"| {one.benchmark} | {one.metric} | {one.value:.4g} | {_interval(one)} | "
        f"{'' if one.baseline_value is None else f'{one.baseline_value:.4g} ({one.baseline})'} | "
        f"{'higher' if one.higher_is_better else 'lower'} | {one.num_samples} |"
        for one in sorted(origin.scores, key=lambda one: (one.benchmark, one.metric))
    ]
    head = "| benchmark | metric | value | 95 % | trivial | better is | samples |"
    return [head, "|---|---|---|---|---|---|---|", *rows]


def _interval(one: Score) -> str:
    return "" if one.low is None or one.high is None else f"{one.low:.4g} … {one.high:.4g}"


def is_hub_id(path: str | Path) -> bool:
    """Whether it is written as `owner/name` and there is no such file or folder."""
    text = str(path)
    owner, _, name = text.partition("/")
    is_plain = all(part and not part.startswith(".") and "/" not in part for part in (owner, name))
    return is_plain and isinstance(path, str) and not Path(text).exists()


def fetch_from_hub(repo_id: str, revision: str | None) -> Path:
    """The folder of a snapshot, fetched once. UsageError where the hub does not give it."""
    with optional_packages():
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    try:
        return Path(snapshot_download(repo_id, revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"{repo_id} is no folder here, and the hub does not give it: {reason}") from error


def push_to_hub(folder: Path, repo_id: str, *, private: bool) -> str:
    """The address of what was sent: the whole folder, to a repository that is made where there is none."""
    with optional_packages():
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError
    api = HfApi()
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="A model of UniAudio."))
    except (HfHubHTTPError, OSError) as error:
        raise UsageError(f"the hub does not take {repo_id}: {str(error).strip().splitlines()[0]}") from error
