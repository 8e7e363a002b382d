"""One running batch in a thread of its own, asked from coroutines.

    async for piece in engine.write(query): …      -> the answer's pieces as they are sampled; leaving the loop gives it up
    answer = await engine.answer(query)            -> `Generated`

Requests wait in order of arrival until the batch has rows for them. Between two steps one prompt is read at most, so that answers
that are being written wait for one prompt and not for all.
"""

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress

from uniaudio.lm.answer import Generated, Piece
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.running_batch import Query, Row, RunningBatch
from uniaudio.sequence.vocabulary import Vocabulary

log = logging.getLogger(__name__)


class Ticket:
    """A request's place: what its coroutine is told."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.num_rows = 2 if row.sampling.is_guided else 1
        self._loop = asyncio.get_running_loop()
        self.told: asyncio.Queue[Piece | Exception | None] = asyncio.Queue()

    def tell(self, piece: Piece | Exception | None) -> None:
        """A piece, or an error or None at the end; from any thread."""
        # The loop is closed where the process ends.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.told.put_nowait, piece)


class Engine:
    """`num_rows`: rows of the cache that are written at once; a query with guidance takes two."""

    def __init__(self, model: UniAudioLM, vocabulary: Vocabulary, *, num_rows: int) -> None:
        self._model, self._vocabulary, self._num_rows = model, vocabulary, num_rows
        self._batch = self._new_batch()
        self._events: queue.SimpleQueue[tuple[str, Ticket | None]] = queue.SimpleQueue()
        self._waiting: deque[Ticket] = deque()
        self._written: dict[int, Ticket] = {}
        self._thread = threading.Thread(target=self._run, name="decoding", daemon=True)
        self._thread.start()

    @property
    def num_writing(self) -> int:
        """Answers that are being written."""
        return len(self._written)

    @property
    def num_waiting(self) -> int:
        """Answers for which there is no row yet."""
        return len(self._waiting)

    async def write(self, query: Query) -> AsyncGenerator[tuple[Piece, Row], None]:
        """The pieces of an answer. UsageError where the query is wrong, DataError where the model overflows."""
        self.check()
        ticket = Ticket(self._batch.open(query))
        self._events.put(("join", ticket))
        try:
            while (piece := await ticket.told.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece, ticket.row
        finally:
            self._events.put(("leave", ticket))

    async def answer(self, query: Query) -> Generated:
        """The whole answer."""
        rows = [row async for _, row in self.write(query)]
        return rows[-1].answer.result()

    def close(self) -> None:
        """Ends the thread; answers that are not done fail."""
        self._events.put(("close", None))
        self._thread.join()

    def check(self) -> None:
        """RuntimeError where the thread has ended."""
        if not self._thread.is_alive():
            raise RuntimeError("The thread that decodes has ended.")

    def _new_batch(self) -> RunningBatch:
        return RunningBatch(self._model, self._vocabulary, num_rows=self._num_rows)

    def _run(self) -> None:
        while self._take_events():
            try:
                self._admit()
                pieces = self._batch.step() if self._batch.rows else []
                for row, piece in pieces:
                    self._written[id(row)].tell(piece)
                # The last id of an answer and its end are two pieces of one step.
                for row in {id(row): row for row, _ in pieces if row.answer.is_done}.values():
                    self._written.pop(id(row)).tell(None)
            except Exception as error:
                # Whatever it is, the answers at hand are lost and the next ones are not.
                log.exception("a step of decoding failed; %d answers are lost", len(self._written))
                for ticket in self._written.values():
                    ticket.tell(error)
                self._written.clear()
                self._batch = self._new_batch()
        while self._events.qsize():
            _, late = self._events.get()
            self._waiting += [late] if late else []
        for ticket in (*self._written.values(), *self._waiting):
            ticket.tell(RuntimeError("The model was taken out of service."))

    def _take_events(self) -> bool:
        """Who came and who left; waits where nothing else is to be done. False where the engine is closed."""
        while self._events.qsize() or not (self._written or self._waiting):
            what, ticket = self._events.get()
            if what == "close" or ticket is None:
                return False
            if what == "join":
                self._waiting.append(ticket)
            elif ticket in self._waiting:
                self._waiting.remove(ticket)
            elif self._written.pop(id(ticket.row), None) is not None:
                self._batch.leave(ticket.row)
        return True

    def _admit(self) -> None:
        """Lets the first in the queue join where there is room."""
        used = sum(ticket.num_rows for ticket in self._written.values())
        if not self._waiting or (self._written and used + self._waiting[0].num_rows > self._num_rows):
            return
        ticket = self._waiting.popleft()
        try:
            self._batch.join([ticket.row])
        except Exception as error:  # noqa: BLE001
            ticket.tell(error)
            return
        self._written[id(ticket.row)] = ticket
