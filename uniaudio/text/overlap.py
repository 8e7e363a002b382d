"""Which texts share a long run of words with texts that must not be trained on, whatever their case and punctuation.

References  {"name": "asr-test", "item": "5f1c…", "text": "He hoped there would be stew for dinner, turnips and carrots and …"}
Texts       "… he hoped there would be stew for dinner turnips and carrots and bruised potatoes …"
Gives       {"row": 17, "name": "asr-test", "item": "5f1c…", "score": 1.0, "detail": "he hoped there would be …"}

A run is long from 13 words on (Brown et al. 2020, appendix C), in scripts without spaces from 20 characters on. A reference that is
shorter is shared where a whole text equals it, unless it is a stock line such as "please hold". Runs that stand in more than ten
texts of one set are its own boilerplate, and say nothing.

A run is known by 64 bits: the polynomial hash of its bytes, from sums over a block of texts, so that it costs the same however long
it is. Memory: the hashes of the references, and a block of 1 MiB.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from uniaudio.text.normalization import is_spaceless, normalize_text, spoken_words

RUN_WORDS = 13
RUN_CHARACTERS = 20
"""A word of Chinese has about one and a half characters."""
WHOLE_WORDS, WHOLE_LETTERS, WHOLE_CHARACTERS = 5, 25, 10
"""Words and letters, or characters of a script without spaces, that a reference must have to be compared as a whole."""
MAX_TEXTS_OF_A_RUN = 10
"""Brown et al. leave out runs of more than ten documents."""
REFERENCE_BREAK = "\u2029"
"""Separates the references of one item that has several (captions). No run crosses it."""
SHARED = pa.schema(
    [
        ("row", pa.int64()),
        ("name", pa.string()),
        ("item", pa.string()),
        ("score", pa.float64()),
        ("detail", pa.string()),
    ]
)
"""`row`: number of the text; `score`: share of the reference's runs that the text holds; `detail`: the first of them."""

_WHOLE = -1
"""Stands in place of a run's hash where the whole text equals the reference, which may be too short for a run."""
_BLOCK_BYTES = 1 << 20
_SLICE, _SLICE_OVERLAP = 1 << 17, 1 << 11
"""Characters at once of a long document; the overlap holds any run whole."""
_BASE = 0x9E3779B97F4A7C15
_SPLIT_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Odd constants of splitmix64 (Steele et al. 2014)."""
_OF_BYTE = np.random.default_rng(13).integers(1, 1 << 63, 256, dtype=np.uint64)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Hashes:
    """Sorted hashes, each with the number of a reference; a filter in front answers most questions with one look."""

    hashes: np.ndarray
    """`[n]` uint64, sorted; one stands for several references where it is there several times."""
    numbers: np.ndarray
    """`[n]` int64."""
    seen: np.ndarray
    """`[2 ** k]` bool: whether a hash with these last k bits exists."""

    @classmethod
    def of(cls, hashes: np.ndarray, numbers: np.ndarray) -> "_Hashes":
        order = np.argsort(hashes, kind="stable")
        size = 1 << max(16, int(16 * len(hashes)).bit_length())
        filled_slots = np.zeros(min(size, 1 << 28), bool)
        filled_slots[hashes & np.uint64(len(filled_slots) - 1)] = True
        return cls(hashes=hashes[order], numbers=numbers[order], seen=filled_slots)

    def find(self, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All matches between `wanted` and the references: places in `wanted`, and numbers of references, both `[matches]`."""
        places = np.flatnonzero(self.seen[wanted & np.uint64(len(self.seen) - 1)])
        first = np.searchsorted(self.hashes, wanted[places], side="left")
        counts = np.searchsorted(self.hashes, wanted[places], side="right") - first
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(places, counts), self.numbers[np.repeat(first, counts) + within]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TextIndex:
    """The references of some sets; equal ones of a set are one, named by its first item."""

    names: list[str]
    items: list[str]
    num_runs: np.ndarray
    """`[references]`: different runs of each, boilerplate left out."""
    runs: dict[int, _Hashes]
    """Number of words of a run -> hashes of the runs."""
    wholes: _Hashes

    @classmethod
    def build(cls, references: Iterable[tuple[str, str, str | None]]) -> "TextIndex":
        """Build the index of `references`: (name of the set, id of the item, text). Items without a text, or with a stock line, are
        left out."""
        item_of: dict[tuple[str, str], str] = {}
        for name, item, text in references:
            for one in (text or "").split(REFERENCE_BREAK):
                if words := _words_of(one):
                    item_of.setdefault((name, words), item)
        texts = [words for _, words in item_of]
        sizes = np.array([RUN_CHARACTERS if _is_mostly_spaceless(words) else RUN_WORDS for words in texts], np.int64)
        is_whole = np.array([_is_long_enough(words) for words in texts], bool)
        sets = np.unique(np.array([name for name, _ in item_of], str), return_inverse=True)[1]
        runs: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {size: [] for size in np.unique(sizes).tolist()}
        wholes = []
        for block in _blocks(texts):
            for size, hashed_runs in runs.items():
                hashes, numbers, *_ = block.runs(size)
                hashed_runs.append((hashes[sizes[numbers] == size], numbers[sizes[numbers] == size]))
            hashes, numbers, *_ = block.wholes()
            wholes.append((hashes[is_whole[numbers]], numbers[is_whole[numbers]]))
        rare_runs = {size: _without_boilerplate(*_joined(hashed_runs), sets) for size, hashed_runs in runs.items()}
        return cls(
            names=[name for name, _ in item_of],
            items=list(item_of.values()),
            num_runs=sum(
                (np.bincount(one[1], minlength=len(item_of)) for one in rare_runs.values()), np.zeros(len(item_of), int)
            ),
            runs={size: _Hashes.of(*one) for size, one in rare_runs.items()},
            wholes=_Hashes.of(*_joined(wholes)),
        )


def shared_text(index: TextIndex, texts: Iterable[str | None]) -> pa.Table:
    """`SHARED`: each text that shares one with a reference, by number, name and item. Linear in the texts, which are read once."""
    shared: dict[tuple[int, int], set[int]] = {}
    details: dict[tuple[int, int], str] = {}
    for block in _blocks(_words_of(text) for text in texts) if index.items else ():
        tables = [(block.runs(size), references) for size, references in index.runs.items()]
        for (hashes, rows, first, last), references in [*tables, (block.wholes(), index.wholes)]:
            for place, number in zip(*(matches.tolist() for matches in references.find(hashes)), strict=True):
                pair = (int(rows[place]), number)
                details.setdefault(pair, block.text(first[place], last[place]))
                run = _WHOLE if references is index.wholes else int(hashes[place])
                shared.setdefault(pair, set()).add(run)
    pairs = sorted(details)
    columns = [
        [row for row, _ in pairs],
        [index.names[number] for _, number in pairs],
        [index.items[number] for _, number in pairs],
        [1.0 if _WHOLE in shared[pair] else len(shared[pair]) / index.num_runs[pair[1]] for pair in pairs],
        [details[pair] for pair in pairs],
    ]
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, SHARED, strict=True)], schema=SHARED
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Block:
    """Some normalized texts, one after the other, with where their words are."""

    data: bytes
    rows: np.ndarray
    """`[texts]` int64: the number of each; a long one is there in slices."""
    sums: np.ndarray
    """`[bytes + 1]` uint64: the polynomial up to each byte."""
    starts: np.ndarray
    ends: np.ndarray
    """`[words]`: first byte of each word, and the one after its last."""
    texts: np.ndarray
    """`[words]`: which text of the block it is of."""

    @classmethod
    def of(cls, rows: list[int], texts: list[bytes]) -> "_Block":
        data = b"\n".join(texts)
        codes = np.frombuffer(data, np.uint8)
        powers, _ = _powers(len(codes))
        sums = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum(_OF_BYTE[codes] * powers[: len(codes)], out=sums[1:])
        edges = np.flatnonzero(np.diff(np.concatenate([[False], codes > ord(" "), [False]]).astype(np.int8)))
        lengths = np.array([len(text) + 1 for text in texts], np.int64)
        starts = edges[::2]
        return cls(
            data=data,
            rows=np.array(rows, np.int64),
            sums=sums,
            starts=starts,
            ends=edges[1::2],
            texts=np.searchsorted(np.cumsum(lengths), starts, side="right"),
        )

    def runs(self, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Every run of `size` words within a text: hashes, numbers of the texts, first bytes, and the bytes after the last."""
        count = max(0, len(self.starts) - size + 1)
        first = np.flatnonzero(self.texts[:count] == self.texts[len(self.texts) - count :])
        return self._spans(self.starts[first], self.ends[first + size - 1], self.rows[self.texts[first]])

    def wholes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Every text as one run: the same four arrays as `runs`."""
        first = np.flatnonzero(np.diff(self.texts, prepend=-1))
        last = np.append(first[1:], len(self.texts)) - 1
        return self._spans(self.starts[first], self.ends[last], self.rows[self.texts[first]])

    def _spans(
        self, first: np.ndarray, last: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        _, inverses = _powers(len(self.data))
        hashes = (self.sums[last] - self.sums[first]) * inverses[first]
        # The last bits of a product hang on the last bits of its factors alone: mixed, every bit hangs on all.
        for shift, factor in zip((30, 27), _SPLIT_MIX, strict=True):
            hashes = (hashes ^ (hashes >> np.uint64(shift))) * np.uint64(factor)
        return hashes ^ (hashes >> np.uint64(31)), rows, first, last

    def text(self, first: int, last: int) -> str:
        return self.data[first:last].decode()


def _blocks(texts: Iterable[str]) -> Iterator[_Block]:
    """Blocks of normalized texts, which are numbered from 0."""
    rows: list[int] = []
    parts: list[bytes] = []
    num_bytes = 0
    for number, text in enumerate(texts):
        for start in range(0, max(1, len(text) - _SLICE_OVERLAP), _SLICE):
            rows.append(number)
            parts.append(text[start : start + _SLICE + _SLICE_OVERLAP].encode())
            num_bytes += len(parts[-1])
            if num_bytes >= _BLOCK_BYTES:
                yield _Block.of(rows, parts)
                rows, parts, num_bytes = [], [], 0
    if any(parts):
        yield _Block.of(rows, parts)


def _words_of(text: str | None) -> str:
    """Normalized, one space between words; of scripts without spaces each character is one."""
    if not text:
        return ""
    return normalize_text(text) if text.isascii() else " ".join(spoken_words(text))


def _is_mostly_spaceless(words: str) -> bool:
    if words.isascii():
        return False
    letters = [character for character in words if character != " "]
    return 2 * sum(map(is_spaceless, letters)) > len(letters)


def _is_long_enough(words: str) -> bool:
    """Whether a reference is long enough to be compared as a whole."""
    num_words = words.count(" ") + 1
    if _is_mostly_spaceless(words):
        return num_words >= WHOLE_CHARACTERS
    return num_words >= WHOLE_WORDS and len(words) - num_words + 1 >= WHOLE_LETTERS


def _joined(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    empty = (np.zeros(0, np.uint64), np.zeros(0, np.int64))
    hashes, numbers = (np.concatenate([part[index] for part in (empty, *parts)]) for index in (0, 1))
    return hashes, numbers


def _without_boilerplate(hashes: np.ndarray, numbers: np.ndarray, set_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each run of a text once, those left out that stand in too many texts of one set. `set_of` each reference."""
    sets = set_of[numbers]
    order = np.lexsort((numbers, hashes, sets))
    hashes, numbers, sets = hashes[order], numbers[order], sets[order]
    is_new_run = np.append(True, (hashes[1:] != hashes[:-1]) | (sets[1:] != sets[:-1]))[: len(hashes)]
    is_new = is_new_run | np.append(True, numbers[1:] != numbers[:-1])[: len(hashes)]
    run = (np.cumsum(is_new_run) - 1)[is_new]
    is_rare = np.bincount(run)[run] <= MAX_TEXTS_OF_A_RUN
    return hashes[is_new][is_rare], numbers[is_new][is_rare]


def _powers(num_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """`[num_bytes or more]` uint64: powers of the base, and their inverses modulo 2 ** 64."""
    return _powers_of(max(_BLOCK_BYTES, 1 << num_bytes.bit_length()))


@lru_cache(maxsize=2)
def _powers_of(count: int) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.cumprod(np.full(count, _BASE, np.uint64)),
        np.cumprod(np.full(count, pow(_BASE, -1, 1 << 64), np.uint64)),
    )
