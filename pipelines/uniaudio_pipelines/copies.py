"""Find the copies among millions of recordings by the landmarks they share.

Reads   Arrow tables of clips; landmarks are what `uniaudio.audio.landmarks` gives
Writes  one Arrow table of pairs; spilled rows in a temporary folder, removed at the end
Row in  {"clip_id": "a1", "duration_s": 2.5, "landmarks": [1180591620717411, ...]}
Row out {"id_a": "a1", "id_b": "f7", "votes": 97, "score": 0.61, "offset_s": -0.21, "speed": 1.0, "overlap": 0.93}

No step compares every clip with every other. Rows (hash, frame, clip) are spilled to files by hash and joined file by file;
what met is spilled again by pair of clips, and a pair is a copy where enough of its meetings agree on one offset and one
speed. A hash that very many clips share says little, and joining it would cost the square of their number: each clip meets at
most `window` others at it, those of the most similar duration, because copies are about as long as each other. So the
work grows with the number of rows. Clusters of any size survive, as chains.

A fingerprint has landmarks and, below zero, codes of tones (`uniaudio.audio.tones`). They never meet, and are counted apart: few landmarks
that agree are much, while tones of one pitch always share some codes, so that a fifth of them must agree over half of the sound. Inside, each clip
is two, by its number: 2 n is what its landmarks say, 2 n + 1 what its tones say.

Where few landmarks or tones agree, the envelopes of both clips decide (`uniaudio.audio.envelopes`), laid over each other where these agree: three
landmarks and one envelope are a copy, three landmarks alone are chance.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from uniaudio_schemas.errors import UsageError

from uniaudio.audio.envelopes import is_envelope
from uniaudio_pipelines.envelopes import Envelopes
from uniaudio_pipelines.running.scratch import ScratchFolder

CLIP_COLUMNS = ("clip_id", "duration_s", "landmarks")
PAIRS = pa.schema(
    [
        ("id_a", pa.string()),
        ("id_b", pa.string()),
        ("votes", pa.int32()),
        ("score", pa.float32()),
        ("offset_s", pa.float64()),
        ("speed", pa.float32()),
        ("overlap", pa.float32()),
    ]
)
"""votes: landmarks that agree; score: their share of those of the clip that has fewer; offset_s: where in a clip b starts;
speed: seconds of a for one of b; overlap: from the first vote to the last one, as a share of the stretch in which the shorter clip has landmarks."""
CLUSTERS = pa.schema([("clip_id", pa.string()), ("cluster_id", pa.string())])

# How `uniaudio.audio.landmarks` packs a value and counts time (a test holds them equal: importing it would bring torch).
FRAME_BITS, FRAME_S = 24, 0.008
_ROW = np.dtype([("hash", "<i8"), ("frame", "<i4"), ("clip", "<i4")])
_MEETING = np.dtype([("a", "<i4"), ("b", "<i4"), ("frame_a", "<i4"), ("frame_b", "<i4")])
_FACTS = np.dtype([("duration", "<f8"), ("count", "<i4"), ("span", "<i4")])
_NUM_FILES = 256
_TOGETHER = 1 << 17  # records of small files that are joined together: sorting more at once is slower
_WORKING_COPIES = 12  # bytes that sorting and counting hold for each byte read, measured
_REPEATS = 4  # times that one clip may hold one hash: loops repeat themselves for minutes
_CROWD_WINDOW = 1  # clips met where more than `window` share a hash: enough to link copies, too little for chance
_MEASURED_CLIPS, _RARER_EACH_VOTE, _VOTES_EACH_MOMENT = 10_000, 2.7, 3  # see `CopySearch`
_SPEEDS = (1.0, 1.0025, 0.9975, 1.005, 0.995, 1.0075, 0.9925, 1.01, 0.99)
_TOLERANCE = 3  # frames (24 ms): one for the grid of each side, one for the rounding of speeds
_OFFSET_BITS = 26


@dataclass(frozen=True, kw_only=True, slots=True)
class CopySearch:
    """What counts as a copy, and what the search may use."""

    min_votes: int = 7
    """Agreeing landmarks that a pair needs among 10,000 clips or fewer. Agreements by chance on one more are about 2.7 times
    rarer (measured on game speech, effects and music), so that a larger corpus needs the logarithm of its size more."""
    min_moments: int = 3
    """Different frames that votes should come from; for each that is missing 3 votes more are needed, because the peaks
    of one click or drum beat are in many landmarks at once."""
    min_click_score: float = 0.25
    """Like `min_score`, for votes from fewer moments: attacks of drums and clicks are alike, and a fifth of the landmarks of two may agree."""
    min_score: float = 0.02
    """Agreeing landmarks as a share of those of the clip that has fewer."""
    min_overlap: float = 0.2
    """The share of the shorter clip's landmarks between whose first and last the votes lie: of two clips that share a
    click or a syllable only that agrees."""
    min_tone_votes: int = 8
    """Agreeing codes of tones that a pair needs, where landmarks do not say that it is a copy."""
    min_tone_score: float = 0.2
    """Like `min_score`, for tones."""
    min_tone_overlap: float = 0.5
    """Like `min_overlap`, for tones: notes that begin alike and fade differently share their beginning."""
    min_alike_votes: int = 3
    """Agreeing landmarks or codes of tones that a pair needs whose envelopes are alike, whatever they say alone."""
    min_likeness: float = 0.93
    """The correlation of two envelopes that are alike."""
    window: int = 16
    """Clips that a clip meets at one hash, at most, to either side."""
    memory_bytes: int = 1 << 30
    """What one step may hold beside the names of the clips."""

    def __post_init__(self) -> None:
        for name in ("min_votes", "min_moments", "min_tone_votes", "min_alike_votes", "window", "memory_bytes"):
            if getattr(self, name) < 1:
                raise UsageError(f"`{name}` must be 1 or more, but is {getattr(self, name)}.")


def find_copies(
    clips: Iterable[pa.Table],
    index: Iterable[pa.Table] | None = None,
    *,
    folder: str | Path,
    search: CopySearch | None = None,
) -> pa.Table:
    """The pairs of `clips` that are copies (`PAIRS`), or with `index` the pairs of a clip (`id_a`) and one of `index`
    (`id_b`); sorted by ids. Tables hold `CLIP_COLUMNS`, ids must be unique in each input, and `folder` takes some 16
    bytes a landmark and 16 for each meeting at a hash while it runs. The result does not depend on the order of the clips.
    """
    search = search or CopySearch()
    with ScratchFolder("copies", folder) as spilled, Envelopes(Path(spilled) / "envelopes") as envelopes:
        known = _Clips(envelopes)
        rows = _Spill(Path(spilled), "rows", _ROW)
        with rows:
            known.read(clips, rows)
            num_queries = None if index is None else known.num_heard
            if index is not None:
                known.read(index, rows)
        rank, meetings = known.rank(), _Spill(Path(spilled), "meetings", _MEETING)
        with meetings:
            for part in rows.parts(lambda part: part["hash"], search.memory_bytes):
                for met in _meetings(part, rank, num_queries, search.window):
                    meetings.write(met, _pair_key(met, known.num_heard))
        tables = [
            known.copies(
                _votes(part, min(search.min_votes, search.min_tone_votes, search.min_alike_votes), known.num_heard),
                search,
                num_queries,
            )
            for part in meetings.parts(lambda part: _pair_key(part, known.num_heard), search.memory_bytes)
        ]
    return _each_pair_once(pa.concat_tables([PAIRS.empty_table(), *tables]))


def _each_pair_once(pairs: pa.Table) -> pa.Table:
    """Sorted by ids; of a pair whose landmarks and whose tones agree, what more of them say."""
    order = [("id_a", "ascending"), ("id_b", "ascending"), ("votes", "descending")]
    pairs = pairs.sort_by(order).combine_chunks()
    if pairs.num_rows < 2:
        return pairs
    differs = (
        pc.not_equal(pairs[name].slice(1), pairs[name].slice(0, pairs.num_rows - 1)) for name in ("id_a", "id_b")
    )
    is_first = pa.concat_arrays([pa.array([True]), pc.or_(*differs).combine_chunks()])
    return pairs.filter(is_first)


def clusters(pairs: pa.Table) -> pa.Table:
    """The clips of `pairs` (`id_a`, `id_b`) with the smallest id that each is connected to (`CLUSTERS`), sorted by id."""
    names = pc.unique(pa.chunked_array([*pairs["id_a"].chunks, *pairs["id_b"].chunks], pa.string()))
    names = names.take(pc.sort_indices(names))
    a, b = (pc.index_in(pairs[side], value_set=names).to_numpy() for side in ("id_a", "id_b"))
    label = np.arange(len(names))
    while True:
        lowest = np.minimum(label[a], label[b])
        before = label.copy()
        # The labels' own labels are lowered too, so that a chain of n clips takes log n rounds.
        for side in (a, b, before[a], before[b]):
            np.minimum.at(label, side, lowest)
        label = label[label]
        if np.array_equal(label, before):
            return pa.table({"clip_id": names, "cluster_id": names.take(pa.array(label))}, schema=CLUSTERS)


class _Clips:
    """What is known of each clip, by twice its number."""

    def __init__(self, envelopes: Envelopes) -> None:
        self._envelopes = envelopes
        self._names: list[Any] = []
        self._facts: list[np.ndarray] = []
        self.num_clips = 0

    @property
    def num_heard(self) -> int:
        """Each clip twice: by its landmarks and by its tones."""
        return 2 * self.num_clips

    def read(self, tables: Iterable[pa.Table], rows: "_Spill") -> None:
        """Number the clips of `tables` and spill their rows."""
        for table in tables:
            missing = [name for name in CLIP_COLUMNS if name not in table.column_names]
            if missing:
                raise UsageError(
                    f"A table of clips must have the columns {', '.join(CLIP_COLUMNS)}, but lacks {missing}."
                )
            for batch in table.select(CLIP_COLUMNS).to_batches():
                landmarks = batch["landmarks"].cast(pa.list_(pa.int64()))
                lengths = pc.fill_null(pc.list_value_length(landmarks), 0).to_numpy(zero_copy_only=False)
                values = landmarks.flatten().to_numpy(zero_copy_only=False)
                owner, is_hash = np.repeat(np.arange(batch.num_rows), lengths), ~is_envelope(values)
                self._envelopes.add(values[~is_hash], np.bincount(owner[~is_hash], minlength=batch.num_rows))
                values = values[is_hash]
                number = 2 * owner[is_hash] + (values < 0)
                facts = np.zeros(2 * batch.num_rows, _FACTS)
                facts["count"] = np.bincount(number, minlength=len(facts))
                facts["duration"] = np.repeat(batch["duration_s"].cast(pa.float64()).to_numpy(zero_copy_only=False), 2)
                part = np.empty(len(values), _ROW)
                part["hash"], part["frame"] = values >> FRAME_BITS, values & ((1 << FRAME_BITS) - 1)
                part["clip"] = number + self.num_heard
                has_any = facts["count"] > 0
                facts["span"][has_any] = _moments(number, part["frame"].astype(np.int64))[1]
                rows.write(part, part["hash"])
                self._names.append(batch["clip_id"].cast(pa.string()))
                self._facts.append(facts)
                self.num_clips += batch.num_rows

    def rank(self) -> np.ndarray:
        """`[clips]` int32: places in the order of duration, then of name."""
        ordered = pa.table({"duration": self._joined_facts()["duration"][::2], "name": self._joined_names()})
        order = pc.sort_indices(ordered, [("duration", "ascending"), ("name", "ascending")]).to_numpy()
        rank = np.empty(self.num_clips, np.int32)
        rank[order] = np.arange(self.num_clips, dtype=np.int32)
        return rank

    def copies(self, voted: "dict[str, np.ndarray]", search: CopySearch, num_queries: int | None) -> pa.Table:
        """Pairs among `voted` that are copies, as `PAIRS`."""
        facts = self._joined_facts()
        a, b = facts[voted["a"]], facts[voted["b"]]
        voted["score"] = voted["votes"] / np.maximum(np.minimum(a["count"], b["count"]), 1)
        shorter_is_a = a["duration"] <= b["duration"]
        whole = np.where(shorter_is_a, a["span"], b["span"])
        is_tone = voted["a"] % 2 == 1
        voted["overlap"] = np.minimum((np.where(shorter_is_a, voted["span_a"], voted["span_b"]) + 1) / (whole + 1), 1.0)
        needed = _needed_votes(self.num_clips - (num_queries or 0) // 2, voted["moments"], search)
        is_copy = (
            (voted["votes"] >= np.where(is_tone, search.min_tone_votes, needed))
            & (voted["score"] >= _needed_score(is_tone, voted["moments"], search))
            & (voted["overlap"] >= np.where(is_tone, search.min_tone_overlap, search.min_overlap))
        )
        is_copy |= self._are_alike(voted, ~is_copy & (voted["votes"] >= search.min_alike_votes), search.min_likeness)
        pairs = {name: values[is_copy] for name, values in voted.items()}
        names = self._joined_names()
        id_a, id_b = names.take(pa.array(pairs["a"] // 2)), names.take(pa.array(pairs["b"] // 2))
        offset_s, speed = pairs["offset"] * FRAME_S, pairs["speed"]
        if num_queries is None:  # the smaller id comes first
            swap = pc.greater(id_a, id_b)
            id_a, id_b = pc.if_else(swap, id_b, id_a), pc.if_else(swap, id_a, id_b)
            swapped = swap.to_numpy()
            offset_s, speed = np.where(swapped, -offset_s / speed, offset_s), np.where(swapped, 1 / speed, speed)
        statistics = [pairs["votes"].astype(np.int32), pairs["score"].astype(np.float32), offset_s]
        columns = [id_a, id_b, *statistics, speed.astype(np.float32), pairs["overlap"].astype(np.float32)]
        return pa.table(columns, schema=PAIRS)

    def _are_alike(self, voted: "dict[str, np.ndarray]", is_asked: np.ndarray, min_likeness: float) -> np.ndarray:
        """`[pairs]` bool: the pairs with `is_asked` whose envelopes are alike."""
        a, b, offset, speed = (voted[name][is_asked] for name in ("a", "b", "offset", "speed"))
        is_alike = np.zeros(len(is_asked), bool)
        is_alike[is_asked] = self._envelopes.likeness(a // 2, b // 2, offset, speed) >= min_likeness
        return is_alike

    def _joined_facts(self) -> np.ndarray:
        if len(self._facts) != 1:
            self._facts = [np.concatenate([*self._facts, np.zeros(0, _FACTS)])]
        return self._facts[0]

    def _joined_names(self) -> Any:
        return pa.chunked_array(self._names, pa.string())


def _needed_votes(num_others: int, moments: np.ndarray, search: CopySearch) -> np.ndarray:
    for_size = max(0.0, math.log(max(num_others, 1) / _MEASURED_CLIPS) / math.log(_RARER_EACH_VOTE))
    needed: np.ndarray = search.min_votes + for_size + _VOTES_EACH_MOMENT * np.maximum(search.min_moments - moments, 0)
    return needed


def _needed_score(is_tone: np.ndarray, moments: np.ndarray, search: CopySearch) -> np.ndarray:
    of_landmarks = np.where(moments < search.min_moments, search.min_click_score, search.min_score)
    return np.where(is_tone, search.min_tone_score, of_landmarks)


class _Spill:
    """Records in files, by a key: all records of one key are in one file."""

    def __init__(self, folder: Path, name: str, dtype: np.dtype) -> None:
        self._paths = [folder / f"{name}-{number:03d}" for number in range(_NUM_FILES)]
        self._dtype = dtype
        self._files: dict[int, BinaryIO] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "_Spill":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        self._files.clear()

    def write(self, records: np.ndarray, keys: np.ndarray) -> None:
        number = _spread(keys, 0, _NUM_FILES)
        order = np.argsort(number, kind="stable")
        bounds = np.searchsorted(number[order], np.arange(_NUM_FILES + 1))
        for place in np.nonzero(np.diff(bounds))[0].tolist():
            if place not in self._files:
                self._files[place] = self._stack.enter_context(self._paths[place].open("wb"))
            self._files[place].write(records[order[bounds[place] : bounds[place + 1]]].tobytes())

    def parts(self, key: Callable[[np.ndarray], np.ndarray], memory_bytes: int) -> Iterator[np.ndarray]:
        """The records, all of one key in one part, and no part larger than fits into `memory_bytes` (unless one key is)."""
        block = max(1, memory_bytes // _WORKING_COPIES // self._dtype.itemsize)
        none = np.zeros(0, self._dtype)
        waiting = [none]
        for path in self._paths:
            if not path.exists():
                continue
            num_records = path.stat().st_size // self._dtype.itemsize
            if num_records + sum(map(len, waiting)) > min(block, _TOGETHER):
                yield np.concatenate(waiting)
                waiting = [none]
            if num_records <= block:
                waiting.append(np.fromfile(path, self._dtype))
            else:
                yield from self._passes(path, key, block)
            path.unlink()
        yield np.concatenate(waiting)

    def _passes(self, path: Path, key: Callable[[np.ndarray], np.ndarray], block: int) -> Iterator[np.ndarray]:
        """The records of a file that is too large: it is read several times, and each time other keys are kept."""
        size = self._dtype.itemsize
        starts = range(0, path.stat().st_size // size, block)
        for one in range(len(starts)):
            blocks = (np.fromfile(path, self._dtype, count=block, offset=start * size) for start in starts)
            yield np.concatenate([read[_spread(key(read), 20, len(starts)) == one] for read in blocks])


def _spread(keys: np.ndarray, shift: int, num_places: int) -> np.ndarray:
    """A place below `num_places` for each key; other bits of its product decide for another `shift`."""
    mixed: np.ndarray = keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    places: np.ndarray = ((mixed >> np.uint64(44 - shift)) & np.uint64(0xFFFFF)).astype(np.int64) * num_places >> 20
    return places


def _pair_key(meetings: np.ndarray, num_heard: int) -> np.ndarray:
    key: np.ndarray = meetings["a"].astype(np.int64) * num_heard + meetings["b"]
    return key


def _meetings(rows: np.ndarray, rank: np.ndarray, num_queries: int | None, window: int) -> Iterator[np.ndarray]:
    """Rows of two clips with one hash, near in the order of duration; with `num_queries` one of them is a query."""
    rows = rows[np.lexsort((rows["frame"], rank[rows["clip"] // 2], rows["hash"]))]
    repeated = np.zeros(len(rows), bool)
    repeated[_REPEATS:] = (rows["hash"][_REPEATS:] == rows["hash"][:-_REPEATS]) & (
        rows["clip"][_REPEATS:] == rows["clip"][:-_REPEATS]
    )
    rows = rows[~repeated]
    # Whom a row may meet: rows of the index, the nearest around it; without an index the rows of clips behind it.
    others = rows if num_queries is None else rows[rows["clip"] >= num_queries]
    askers = rows if num_queries is None else rows[rows["clip"] < num_queries]
    if num_queries is None:
        changes = (np.diff(rows["hash"], prepend=-1) != 0) | (np.diff(rows["clip"], prepend=-1) != 0)
        nearest = np.append(np.flatnonzero(changes), len(rows))[np.cumsum(changes)]
    else:
        is_other = rows["clip"] >= num_queries
        nearest = (np.cumsum(is_other) - is_other)[~is_other]
    first, last = (np.searchsorted(others["hash"], askers["hash"], side) for side in ("left", "right"))
    reach = np.where(last - first > window, _CROWD_WINDOW, window)
    for step in range(0 if num_queries is None else -window, window):
        place = nearest + step
        meet = (place >= first) & (place < last) & (step < reach) & (step >= -reach)
        # The query, or the clip of lower rank, is a: of one pair always the same one.
        met = np.empty(int(meet.sum()), _MEETING)
        for side, side_rows in (("a", askers[meet]), ("b", others[place[meet]])):
            met[side], met[f"frame_{side}"] = side_rows["clip"], side_rows["frame"]
        yield met


def _votes(meetings: np.ndarray, min_votes: int, num_heard: int) -> dict[str, np.ndarray]:
    """For each pair with `min_votes` meetings or more, the offset (frames of a) and the speed that most meetings agree on."""
    key = _pair_key(meetings, num_heard)
    _, pair, counts = np.unique(key, return_inverse=True, return_counts=True)
    enough = counts[pair] >= min_votes
    meetings = meetings[enough]
    _, first, pair = np.unique(key[enough], return_index=True, return_inverse=True)
    frame_a, frame_b = meetings["frame_a"].astype(np.int64), meetings["frame_b"].astype(np.int64)
    votes, speed, start = np.zeros(len(first), np.int64), np.ones(len(first)), np.zeros(len(first), np.int64)
    for candidate in _SPEEDS if len(first) else ():
        offset = _offset(frame_a, frame_b, candidate)
        agreeing, from_offset = _most_agreeing(pair, offset)
        better = agreeing > votes
        votes[better], start[better], speed[better] = agreeing[better], from_offset[better], candidate
    offset = _offset(frame_a, frame_b, speed[pair])
    agrees = (offset >= start[pair]) & (offset <= start[pair] + 2 * _TOLERANCE)
    pair, frame_a, frame_b, offset = pair[agrees], frame_a[agrees], frame_b[agrees], offset[agrees]
    moments_a, span_a = _moments(pair, frame_a)
    moments_b, span_b = _moments(pair, frame_b)
    return {
        "a": meetings["a"][first],
        "b": meetings["b"][first],
        "votes": votes,
        "moments": np.minimum(moments_a, moments_b),
        "span_a": span_a,
        "span_b": span_b,
        "offset": np.bincount(pair, offset, len(first)) / np.maximum(votes, 1),
        "speed": speed,
    }


def _offset(frame_a: np.ndarray, frame_b: np.ndarray, speed: Any) -> np.ndarray:
    """Frames of a at which b would start."""
    offset: np.ndarray = frame_a - np.rint(frame_b * speed).astype(np.int64)
    return offset


def _most_agreeing(pair: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each pair the most offsets that lie within the tolerance of each other, and the smallest of these."""
    low = -(1 << (_OFFSET_BITS - 1))
    key = np.sort((pair << _OFFSET_BITS) + offset - low)
    agreeing = np.searchsorted(key, key + 2 * _TOLERANCE, "right") - np.arange(len(key))
    starts = np.flatnonzero(np.diff(key >> _OFFSET_BITS, prepend=-1))
    most = np.maximum.reduceat(agreeing, starts)
    is_most = agreeing == np.repeat(most, np.diff(starts, append=len(key)))
    place = np.minimum.reduceat(np.where(is_most, np.arange(len(key)), len(key)), starts)
    return most, (key[place] & ((1 << _OFFSET_BITS) - 1)) + low


def _moments(pair: np.ndarray, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each pair the number of different frames, and how far apart the first and the last are."""
    if not len(pair):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    key = np.unique((pair << FRAME_BITS) + frame)
    starts = np.flatnonzero(np.diff(key >> FRAME_BITS, prepend=-1))
    ends = np.append(starts[1:], len(key))
    return ends - starts, key[ends - 1] - key[starts]
