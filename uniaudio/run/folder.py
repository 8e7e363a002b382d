"""Where a model's parts lie: a folder of its own, or a checkpoint in a store, read where it is.

A folder holds
    config.json  model*.safetensors  vocabulary.json    the language model
    uniaudio.json                                       {"tasks": ["asr", …], "codec_fingerprint": "c81f…"}
    tokenizer/tokenizer.json                            the text tokenizer; absent where text is bytes
    codec/config.json  codec/codec.safetensors          the codec; absent where no clip is read or made
    README.md  generation_config.json  tokenizer.json   what a hub and transformers look for (`release`)

A store is named by its root (its latest checkpoint), `ROOT/checkpoint/refs/stage3` or `ROOT/checkpoint/versions/<plan id>`.
"""

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from uniaudio_schemas.errors import DataError, FingerprintError, UsageError
from uniaudio_schemas.fingerprint import hash_json, short
from uniaudio_schemas.kinds.checkpoint import TASK_STATISTIC, Checkpoint
from uniaudio_schemas.kinds.codec import CodecRow
from uniaudio_schemas.plain import from_json
from uniaudio_schemas.store import Store
from uniaudio_schemas.store.manifest import Manifest

from uniaudio.codec.codec import MODEL_CODEC, ReasoningCodec
from uniaudio.lm import weights
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.running_batch import check_vocabulary
from uniaudio.run import release
from uniaudio.sequence.vocabulary import Vocabulary
from uniaudio.text.tokenizer import ByteTokenizer, HuggingFaceTokenizer, TextTokenizer
from uniaudio.training.lm.weights import config_of, load_model

ABOUT_FILE, TOKENIZER_FOLDER, CODEC_FOLDER = "uniaudio.json", "tokenizer", MODEL_CODEC
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """Facts in a model's folder beside its weights."""

    tasks: list[str]
    codec_fingerprint: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """A model and what it is used with; the codec is read when it is first needed."""

    model: UniAudioLM
    vocabulary: Vocabulary
    tokenizer: TextTokenizer
    tasks: frozenset[str]
    """Tasks that it was trained on; mixture groups of tasks where no more is known, as of checkpoints of earlier versions."""
    codec_fingerprint: str
    """The fingerprint of the codec whose codes it was trained on; empty where that is not known."""
    load_codec: Callable[[], ReasoningCodec]
    card: Callable[["Parts"], str] = lambda parts: release.card(parts, release.Origin())
    """The model card, made when it is asked for."""


def load_parts(path: str | Path, *, codec: str | Path | None = None, tokenizer: str | Path | None = None) -> Parts:
    """The parts that lie at `path`; `codec` and `tokenizer` are folders to take instead of its own."""
    folder = Path(path)
    if (folder / weights.CONFIG_FILE).is_file():
        return _from_folder(folder, codec, tokenizer)
    store, manifest = _find_version(folder)
    return _from_store(store, manifest, codec, tokenizer)


def version_of(path: str | Path) -> str:
    """What tells whether another model lies at `path`: the plan id of the checkpoint, or a hash of when its files were written."""
    folder = Path(path)
    if not (folder / weights.CONFIG_FILE).is_file():
        return _find_version(folder)[1].plan_id
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    stats = [(str(file.relative_to(folder)), file.stat().st_mtime_ns, file.stat().st_size) for file in files]
    return short(hash_json(stats))


def write_about(folder: Path, tasks: Iterable[str], codec_fingerprint: str) -> None:
    """The file that makes a folder of weights a model that `load_parts` reads."""
    about = About(tasks=sorted(tasks), codec_fingerprint=codec_fingerprint)
    (folder / ABOUT_FILE).write_text(json.dumps(asdict(about), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def codec_fingerprint_of(folder: Path) -> str:
    """The fingerprint of the codec whose codes the model in `folder` was trained on; empty where that is not known."""
    return _read_about(folder / ABOUT_FILE).codec_fingerprint


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Puts the tokenizer of `source` into a model's folder."""
    (folder / TOKENIZER_FOLDER).mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        target = folder / TOKENIZER_FOLDER / name
        if (source / name).is_file() and (source / name).resolve() != target.resolve():
            shutil.copyfile(source / name, target)


def save_parts(parts: Parts, folder: str | Path, dtype: torch.dtype | None = None) -> None:
    """Writes a folder that stands alone. `dtype`: of the weights there, None keeps theirs; a codec whose numbers it would round stays as
    it is, for another codec has other codes."""
    path = Path(folder)
    parts.model.save(path, dtype)
    (path / weights.VOCABULARY_FILE).write_text(parts.vocabulary.to_json(), encoding="utf-8")
    if parts.codec_fingerprint:
        codec = parts.load_codec()
        codec.save(path / CODEC_FOLDER, dtype if dtype and codec.is_exact_in(dtype) else torch.float32)
    if isinstance(parts.tokenizer, HuggingFaceTokenizer):
        copy_tokenizer(parts.tokenizer.folder, path)
    write_about(path, parts.tasks, parts.codec_fingerprint)
    own_tokenizer = path / TOKENIZER_FOLDER
    release.write_release(
        parts, path, tokenizer=own_tokenizer if own_tokenizer.is_dir() else None, text=parts.card(parts)
    )


def text_of_folder(folder: Path) -> tuple[TextTokenizer, Vocabulary]:
    """How a model's folder reads text, and its ids; UsageError where it holds no tokenizer."""
    vocabulary, own_tokenizer = _read_vocabulary(folder / weights.VOCABULARY_FILE), folder / TOKENIZER_FOLDER
    if not own_tokenizer.is_dir() and vocabulary.tokenizer_fingerprint != ByteTokenizer.fingerprint:
        raise UsageError(
            f"{folder} must hold the text tokenizer of its vocabulary, but holds none: import it again with `--tokenizer`."
        )
    return _tokenizer(vocabulary, own_tokenizer if own_tokenizer.is_dir() else None), vocabulary


def _from_folder(folder: Path, codec: str | Path | None, tokenizer: str | Path | None) -> Parts:
    vocabulary = _read_vocabulary(folder / weights.VOCABULARY_FILE)
    try:
        check_vocabulary(weights.read_config(folder), vocabulary)
    except FingerprintError as error:
        raise FingerprintError(
            f"{folder}: {error} Its files are of several models: import or export it again."
        ) from error
    about = _read_about(folder / ABOUT_FILE)
    own_tokenizer = folder / TOKENIZER_FOLDER
    return Parts(
        model=UniAudioLM.load(folder).eval(),
        vocabulary=vocabulary,
        tokenizer=_tokenizer(vocabulary, tokenizer or (own_tokenizer if own_tokenizer.is_dir() else None)),
        tasks=frozenset(about.tasks),
        codec_fingerprint=about.codec_fingerprint,
        load_codec=lambda: _codec_of_folder(Path(codec or folder / CODEC_FOLDER), about.codec_fingerprint, vocabulary),
        **_own_card(folder / release.CARD_FILE),
    )


def _own_card(path: Path) -> dict[str, Callable[[Parts], str]]:
    """The model card of a folder that has one, unchanged. Nothing else in the folder knows what it says of data and scores."""
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    return {"card": lambda parts: text}


def _find_version(path: Path) -> tuple[Store, Manifest]:
    """The store and the version of `checkpoint` that `path` names."""
    if (path / "checkpoint" / "refs").is_dir():
        root, folder, name = path, "refs", "latest"
    else:
        root, folder, name = path.parent.parent.parent, path.parent.name, path.name.removesuffix(".json")
    is_store = (root / "checkpoint" / "refs").is_dir() and folder in ("refs", "versions")
    store = Store(root)
    manifest = None
    if is_store:
        manifest = store.head("checkpoint", name) if folder == "refs" else store.version("checkpoint", name)
    if manifest is None:
        raise UsageError(
            f"`--model` must be the folder of a model or a store with a checkpoint, but {path} is neither. "
            "`uniaudio demo` trains one, `uniaudio lm import` takes one over."
        )
    return store, manifest


def _from_store(store: Store, manifest: Manifest, codec: str | Path | None, tokenizer: str | Path | None) -> Parts:
    row = next(iter(store.rows(manifest, Checkpoint)))
    config = config_of(row)
    vocabulary, model = config.vocabulary, load_model(store.open_blob(row.weights), config.model)

    def load_codec() -> ReasoningCodec:
        if codec is not None:
            return _codec_of_folder(Path(codec), row.codec_fingerprint, vocabulary)
        loaded_codec = codec_of_store(store, row.codec_fingerprint)
        check_codec(loaded_codec, vocabulary, f"{store.root}: codec {row.codec_fingerprint[:8]}")
        return loaded_codec

    return Parts(
        model=model.eval(),
        vocabulary=vocabulary,
        tokenizer=_tokenizer(vocabulary, tokenizer),
        tasks=frozenset(_trained_tasks(store, row)),
        codec_fingerprint=row.codec_fingerprint,
        load_codec=load_codec,
        card=lambda parts: release.card(parts, release.origin_of(store, manifest)),
    )


def _trained_tasks(store: Store, row: Checkpoint) -> set[str]:
    """Tasks that the checkpoint and those it was trained from had examples of; of a version that does not name them, mixture groups."""
    by_id = {
        other.checkpoint_id: (other, version)
        for version in store.versions("checkpoint")
        for other in store.rows(version, Checkpoint)
    }
    tasks: set[str] = set()
    name: str | None = row.checkpoint_id
    while name in by_id:
        current, version = by_id.pop(name)
        named = {statistic for shard in version.shards for statistic in shard.statistics}
        tasks |= {one.removeprefix(TASK_STATISTIC) for one in named if one.startswith(TASK_STATISTIC)} or {
            entry.mixture for entry in current.ledger if entry.num_examples
        }
        name = current.parent
    return tasks


def codec_of_store(store: Store, fingerprint: str) -> ReasoningCodec:
    """The codec that has this fingerprint. FingerprintError where the store does not hold it."""
    for version in store.versions("codec"):
        for row in store.rows(version, CodecRow):
            if row.codec_id == fingerprint:
                return ReasoningCodec.load_files(row.config, store.open_blob(row.weights))
    raise FingerprintError(
        f"{store.root}: the model was trained on codes of codec {fingerprint[:8]}, but the store does not hold it any "
        "more; name its folder with `--codec`."
    )


def _codec_of_folder(folder: Path, fingerprint: str, vocabulary: Vocabulary) -> ReasoningCodec:
    if not (folder / "config.json").is_file():
        raise UsageError(f"`--codec` must be the folder of the model's codec, but {folder} holds none.")
    codec = ReasoningCodec.load(folder)
    if fingerprint and codec.fingerprint != fingerprint:
        raise FingerprintError(
            f"{folder}: the model was trained on codes of codec {fingerprint[:8]}, but this one is "
            f"{codec.fingerprint[:8]}; name the right folder with `--codec`."
        )
    check_codec(codec, vocabulary, str(folder))
    return codec


def check_codec(codec: ReasoningCodec, vocabulary: Vocabulary, where: str) -> None:
    """The id ranges of the vocabulary must be the codec's codebooks."""
    for kind in ("reasoning", "reconstruction"):
        num_codes = getattr(vocabulary, f"{kind}_codes")
        size = getattr(codec.config, f"{kind}_codebook_size")
        if num_codes != size:
            raise FingerprintError(
                f"{where}: the model's vocabulary {vocabulary.fingerprint[:8]} has {num_codes} {kind} codes, but the "
                f"codec has {size}; name the codec it was trained with by `--codec`."
            )


def _tokenizer(vocabulary: Vocabulary, folder: str | Path | None) -> TextTokenizer:
    text_tokenizer: TextTokenizer = HuggingFaceTokenizer.from_folder(folder) if folder else ByteTokenizer()
    if text_tokenizer.fingerprint != vocabulary.tokenizer_fingerprint:
        raise FingerprintError(
            f"the model's text tokenizer is {vocabulary.tokenizer_fingerprint[:8]}, but "
            f"{folder or 'the one of bytes'} is {text_tokenizer.fingerprint[:8]}; name its folder with `--tokenizer`."
        )
    if text_tokenizer.specials != vocabulary.text_specials:
        raise FingerprintError(
            f"the special ids of the model's vocabulary must be those of its tokenizer ({text_tokenizer.specials}), but are "
            f"{vocabulary.text_specials}."
        )
    return text_tokenizer


def _read_about(path: Path) -> About:
    return from_json(About, _read(path), str(path))


def _read_vocabulary(path: Path) -> Vocabulary:
    return Vocabulary.from_json(_read(path), name=str(path))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); the folder of a model must hold it.") from error


def to_device(parts: Parts, device: str, dtype: torch.dtype | None) -> None:
    """Moves the language model; `dtype` None keeps its own."""
    if str(device).startswith("meta"):
        raise UsageError("`device` must be one that torch can compute on, but is 'meta'.")
    try:
        parts.model.to(device=torch.device(device), dtype=dtype)
    except (RuntimeError, AssertionError) as error:
        # Torch says "no such device" in either way, and how it was built in the lines behind.
        reason = str(error).splitlines()[0]
        raise UsageError(f"`device` must be one that torch can use here, but is {device!r} ({reason}).") from error
