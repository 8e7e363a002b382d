"""Our loader beside others, on the same documents in one run: codes a second in order, and documents a second at random.

    pytest -m bench -s tests/bench/test_loader.py          # those of the others that are installed (see `loader_rivals`)

4,000 documents of 50 to 800 frames of 8 codes, page cache warm, CPU-seconds of one thread. Every code that is handed out is
copied to a buffer, as a batch would.
"""

import os
import time
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from tests.bench.loader_rivals import NUM_CODEBOOKS, READERS, Reader

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1_800)]
NUM_DOCUMENTS = int(os.environ.get("UNIAUDIO_BENCH_DOCUMENTS", "4000"))
TURNS = 5
BUFFER = np.empty((1 << 18, NUM_CODEBOOKS), np.int16)


def some_documents() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [
        generator.integers(0, 12_300, (int(length), NUM_CODEBOOKS), dtype=np.int16)
        for length in generator.integers(50, 801, NUM_DOCUMENTS)
    ]


def copied(arrays: Iterable[np.ndarray]) -> int:
    """Codes."""
    total = 0
    for array in arrays:
        for first in range(0, len(array), len(BUFFER)):
            part = array[first : first + len(BUFFER)]
            BUFFER[: len(part)] = part
        total += array.size
    return total


def rate(measured: Callable[[], int]) -> float:
    started = time.process_time()
    count = measured()
    return count / (time.process_time() - started)


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    documents, found = some_documents(), {}
    total = sum(codes.size for codes in documents)
    for name, make in READERS.items():
        try:
            reader = make(documents, tmp_path_factory.mktemp(name))
        except pytest.skip.Exception as skipped:
            print(f"{name}: {skipped}")
            continue
        assert copied(reader.blocks()) == total
        if name != "webdataset":
            numbers = [NUM_DOCUMENTS - 1, 0, 7, NUM_DOCUMENTS // 2]
            for number, codes in zip(numbers, reader.documents(numbers), strict=True):
                assert np.array_equal(codes.reshape(-1, NUM_CODEBOOKS), documents[number])
        found[name] = reader
    return found


def test_codes_in_order_and_documents_at_random(readers: dict[str, Reader], capsys: pytest.CaptureFixture[str]) -> None:
    numbers = np.random.default_rng(1).permutation(NUM_DOCUMENTS).tolist()
    in_order, at_random = dict.fromkeys(readers, 0.0), dict.fromkeys(readers, 0.0)
    for _ in range(TURNS):
        for name, reader in readers.items():
            in_order[name] = max(in_order[name], rate(lambda reader=reader: copied(reader.blocks())))
            if name != "webdataset":

                def random_documents(reader: Reader = reader) -> int:
                    copied(reader.documents(numbers))
                    return len(numbers)

                at_random[name] = max(at_random[name], rate(random_documents))
    with capsys.disabled():
        print(f"\n{'':<20}{'M codes/CPU-s':>16}{'documents/CPU-s':>18}")
        for name in readers:
            print(f"{name:<20}{in_order[name] / 1e6:>16,.0f}{at_random[name]:>18,.0f}")
    for name in readers.keys() - {"ours", "memmap"}:
        assert in_order["ours"] > 0.9 * in_order[name]
        assert at_random["ours"] > at_random[name]
