"""One unit of source files to rows of `raw` and one WebDataset tar of FLAC.

Of byte-equal files the first that can be decoded makes the rows; what the others say is merged into them.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from uniaudio_schemas.errors import DataError, UsageError
from uniaudio_schemas.fingerprint import hash_bytes, hash_file
from uniaudio_schemas.kinds.raw import Raw
from uniaudio_schemas.store import Dropped, Store
from uniaudio_schemas.store.forgotten import PARAMETER, REASON, digest
from uniaudio_schemas.store.manifest import Plan

from uniaudio_pipelines.jobs import cache_folder
from uniaudio_pipelines.running.cluster import node_name
from uniaudio_pipelines.running.edge import Hand, ShardResult
from uniaudio_pipelines.running.scratch import ScratchFolder
from uniaudio_pipelines.source_to_raw import hashes
from uniaudio_pipelines.source_to_raw.clips import Copy, copies, unused_texts, wanted
from uniaudio_pipelines.source_to_raw.cutting import Cut, DropError, NoCut, Sound, cut
from uniaudio_pipelines.source_to_raw.documents import read_document
from uniaudio_pipelines.source_to_raw.formats.table import BROKEN, CONTAINERS
from uniaudio_pipelines.source_to_raw.job import SourceToRaw
from uniaudio_pipelines.source_to_raw.listing import load_listing
from uniaudio_pipelines.source_to_raw.rows import audio_row, described, text_row
from uniaudio_pipelines.source_to_raw.tars import clip_tar


@dataclass
class _Unit:
    """What was made of a unit so far."""

    name: str
    pool: IO[bytes]
    """The FLACs of all clips, one behind the other."""
    audio: list[tuple[Raw, Cut]] = field(default_factory=list)
    texts: list[Raw] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)

    def drop(self, row_id: str, reason: str, detail: str) -> None:
        self.dropped.append(Dropped(row_id=row_id, reason=reason, detail=detail, unit=self.name))


class RawWorker:
    hand = Hand()

    def __init__(self, store_root: str, job: SourceToRaw, plan: Plan) -> None:
        from uniaudio.audio.read import audio_suffixes

        self._source, self._min_s = job.absolute(), job.min_s
        if not self._source.is_dir():
            raise UsageError(
                f"node {node_name()} has no folder {self._source}: the source must be there on every node."
            )
        store = Store(store_root)
        self._cache = cache_folder(store)
        name = plan.parameters["listing"]
        self._listing = load_listing(name, job.source, self._cache, audio_suffixes(), job.policy(), store)
        self._forgotten, _ = job.forgotten(store, self._listing)
        if plan.parameters.get(PARAMETER, digest([])) != digest(self._forgotten):
            raise UsageError("Some of the source was forgotten since this job was planned: run the flow again.")
        self._folder = ScratchFolder("raw")

    def process(self, unit: str) -> ShardResult:
        rows = self._listing.rows(unit)
        # Outlives this call: the tar is put after it, and replaced by the next unit's.
        tar_path = Path(self._folder.name) / "shard.tar"
        with tempfile.TemporaryFile(dir=self._folder.name) as pool:
            made = _Unit(name=unit, pool=pool)
            for same in _byte_equal(rows):
                self._make(same, made)
            for row in rows:
                if row["problem"]:
                    made.drop(row["path"], row["problem"], row["detail"])
            clips = _write_tar(made, tar_path)
        return ShardResult(
            rows=[*clips, *made.texts],
            dropped=list(dict.fromkeys(made.dropped)),
            statistics={
                "audio_s": sum(row.num_samples / row.sample_rate for row in clips),
                "num_documents": float(len(made.texts)),
                "source_bytes": float(sum({row["path"]: row["size"] for row in rows}.values())),
            },
            blobs=(tar_path,) if clips else (),
        )

    def _make(self, same: "_Same", made: _Unit) -> None:
        """The rows of byte-equal files."""
        first = same.copies[0].path
        if not self.hand.takes(first):
            made.dropped.append(self.hand.dropped(first, made.name))
            return
        if same.sha256[:32] in self._forgotten:
            made.drop(same.sha256[:32], REASON, "")
            return
        for index, copy in enumerate(same.copies):
            before, behind = same.copies[:index], same.copies[index + 1 :]
            make = self._text if same.medium == "text" else self._audio
            try:
                make(same.sha256, [copy, *before, *behind], made)
            except DropError as error:
                made.drop(copy.path, error.reason, str(error))
                continue
            for other in behind:
                made.drop(other.path, "duplicate", f"the bytes of {copy.path}, whose row has what is said of both")
            return

    def _read(self, copy: Copy, sha256: str) -> Path | bytes:
        """Path or bytes of a file; its bytes are still those that were listed."""
        path = self._source / (copy.container or copy.path)
        source: Path | bytes = path
        if not path.exists():
            raise UsageError(
                f"node {node_name()} has no file {path}: the source must be the same on every node, and stay."
            )
        if copy.container:
            try:
                source = CONTAINERS[copy.format].open_audio(path, copy.path.removeprefix(f"{copy.container}/"))
            except BROKEN as error:
                raise DropError("unreadable", str(error).replace(f"{path}: ", "")) from error
            is_same = hash_bytes(source) == sha256
        else:
            is_same = hash_file(path) == sha256
        if not is_same:
            hashes.forget_hashes(self._source, self._cache)
            raise DataError(f"{path}: changed while the source was read; run the job again.")
        return source

    def _text(self, sha256: str, files: list[Copy], made: _Unit) -> None:
        source = self._read(files[0], sha256)
        try:
            text = read_document(
                source if isinstance(source, bytes) else source.read_bytes(), Path(files[0].path).suffix
            )
        except UnicodeDecodeError as error:
            raise DropError("not_utf8", f"byte {error.start}: {error.reason}") from error
        if "\0" in text:
            raise DropError("unreadable", "holds NUL characters, so it is not text")
        if not text:
            raise DropError("empty", "no text")
        made.texts.append(text_row(sha256, files, text))

    def _audio(self, sha256: str, files: list[Copy], made: _Unit) -> None:
        from uniaudio.audio.read import probe

        source = self._read(files[0], sha256)
        name = files[0].path if isinstance(source, bytes) else str(source)
        suffix = Path(files[0].path).suffix
        try:
            info = probe(source, suffix=suffix, name=name)
        except DataError as error:
            raise DropError("unreadable", str(error).replace(f"{name}: ", "")) from error
        sound = Sound(source=source, suffix=suffix, name=name, sample_rate=info.sample_rate)
        duration_s = None if info.num_samples is None else info.num_samples / info.sample_rate
        clips = wanted(files, info.sample_rate, info.channels, duration_s)
        if not any(clip.is_whole for clip in clips):
            for path, text in unused_texts(files, clips):
                made.drop(
                    path,
                    "text_of_the_whole",
                    f"a recording that is cut; what is said of all of it is unused: {text[:200]}",
                )
        seen: set[str] = set()
        cuts = cut(sound, clips, made.pool, self._folder.name, self._min_s)
        if len(cuts) == 1 and isinstance(cuts[0], NoCut) and cuts[0].wanted.is_whole:
            raise DropError(cuts[0].reason, cuts[0].detail)
        for one in cuts:
            if isinstance(one, NoCut):
                made.drop(one.wanted.name(files[0].path, info.sample_rate), one.reason, one.detail)
                continue
            row = audio_row(sha256, files, one)
            if row.clip_id in self._forgotten:
                made.drop(row.clip_id, REASON, "")
            elif row.clip_id in seen:
                # Stretches that end behind the file in different places are one.
                made.drop(
                    one.wanted.name(files[0].path, info.sample_rate), "duplicate", f"the samples of {row.clip_id}"
                )
            else:
                seen.add(row.clip_id)
                made.audio.append((row, one))


@dataclass(frozen=True)
class _Same:
    """Byte-equal files."""

    sha256: str
    medium: str
    copies: list[Copy]


def _byte_equal(rows: list[dict[str, Any]]) -> Iterator[_Same]:
    """Byte-equal files together, by hash, as their clips will be ordered."""
    rows_by_hash: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if not row["problem"]:
            rows_by_hash.setdefault((row["sha256"], row["medium"]), []).append(row)
    for (sha256, medium), same in sorted(rows_by_hash.items()):
        yield _Same(sha256=sha256, medium=medium, copies=copies(same))


def _write_tar(made: _Unit, path: Path) -> list[Raw]:
    """The audio's rows with their places in the tar at `path`, which is there where there are any."""
    if not made.audio:
        return []
    places = []
    with clip_tar(path) as tar:
        for row, one in sorted(made.audio, key=lambda pair: pair[0].clip_id):
            made.pool.seek(one.offset)
            places.append((row, tar.add(row.clip_id, made.pool, one.num_bytes, described(row, one))))
    name = hash_file(path)
    return [replace(row, tar=name, tar_offset=offset) for row, offset in places]
