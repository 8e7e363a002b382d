"""What comparing a corpus with evaluation sets costs: linear in the texts, memory flat in them, no planted copy missed.

    pytest -m bench -s tests/bench/test_contamination.py

10,000 references of 20 to 60 words; texts of 5 to 40 words, of which one in a thousand holds thirteen words of a reference.
"""

import resource
import time
from collections.abc import Iterator

import numpy as np
import pytest

from uniaudio.text.normalization import normalize_text
from uniaudio.text.overlap import RUN_WORDS, TextIndex, shared_text

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
NUM_REFERENCES = 10_000
SIZES = (100_000, 1_000_000)
PLANTED = 1_000
"""One text in so many holds a run."""
MOST_GROWTH, MOST_MEMORY_MIB, MOST_OVER_NORMALIZING = 1.25, 64, 2.5
WORDS = [f"w{number:04d}"[::-1] for number in range(5_000)]


def lines(seed: int, count: int, shortest: int, longest: int) -> Iterator[str]:
    random = np.random.default_rng(seed)
    for _ in range(0, count, 1_000):
        chosen, lengths = (
            random.integers(0, len(WORDS), (1_000, longest)),
            random.integers(shortest, longest + 1, 1_000),
        )
        for row, length in zip(chosen.tolist(), lengths.tolist(), strict=True):
            yield " ".join(WORDS[place] for place in row[:length])


def texts(references: list[str], count: int) -> Iterator[str]:
    for number, line in enumerate(lines(2, count, 5, 40)):
        if number % PLANTED == 0:
            run = references[number // PLANTED % len(references)].split()[5 : 5 + RUN_WORDS]
            line = f"Well, {' '.join(run).upper()}: {line}"
        yield line


def seconds_of(run: Iterator[object]) -> float:
    start = time.process_time()
    for _ in run:
        pass
    return time.process_time() - start


def test_a_text_costs_as_much_among_a_million_as_among_a_hundred_thousand() -> None:
    references = list(lines(1, NUM_REFERENCES, 20, 60))
    index = TextIndex.build(("set", str(number), text) for number, text in enumerate(references))
    shared_text(index, texts(references, 1_000))  # what is imported once
    costs, memory = [], []
    for count in SIZES:
        making = seconds_of(texts(references, count))
        start = time.process_time()
        found = shared_text(index, texts(references, count))
        costs.append((time.process_time() - start - making) / count)
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        assert found["row"].to_pylist() == list(range(0, count, PLANTED)), "every planted run, and nothing else"
    making = seconds_of(texts(references, SIZES[0]))
    normalizing = (seconds_of(map(normalize_text, texts(references, SIZES[0]))) - making) / SIZES[0]
    growth, over = costs[1] / costs[0], costs[1] / normalizing
    print(
        f"\n{SIZES[1]:,} texts, {NUM_REFERENCES:,} references: {1e6 * costs[1]:.1f} us a text, {growth:.2f} times that among "
        f"{SIZES[0]:,} (at most {MOST_GROWTH}); {over:.1f} times normalizing it (at most {MOST_OVER_NORMALIZING}); "
        f"{memory[1] - memory[0]:.0f} MiB more (at most {MOST_MEMORY_MIB}), {memory[1]:.0f} MiB in all"
    )
    assert growth <= MOST_GROWTH
    assert over <= MOST_OVER_NORMALIZING
    assert memory[1] - memory[0] <= MOST_MEMORY_MIB
