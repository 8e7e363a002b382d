"""One running batch in a thread of its own, asked from coroutines.

    async for piece in engine.write(query): …      -> the answer's pieces as they are sampled; leaving the loop gives it up
    answer = await engine.answer(query)            -> `Generated`

Requests wait in order of arrival until the batch has rows for them. Between two steps one prompt is read at most, so that answers
that are being written wait for one prompt and not for all.

What is wrong with one answer ends that one. Where a step fails as a whole, its answers are written again from their beginning, each alone:
the one that fails then was at fault, and the others are what they would have been.
"""

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

from uniaudio_schemas.errors import UniaudioError

from uniaudio.lm.answer import Answer, Generated, Piece
from uniaudio.lm.model import UniAudioLM
from uniaudio.lm.running_batch import Query, Row, RunningBatch
from uniaudio.sequence.vocabulary import Vocabulary

log = logging.getLogger(__name__)


class FallibleAnswer(Answer):
    """An answer that ends where what was sampled for it is wrong, so that its neighbours go on."""

    failure: UniaudioError | None = None

    @property
    def is_done(self) -> bool:
        return self.failure is not None or super().is_done

    def accept(self, sampled: Sequence[int]) -> list[Piece]:
        """None of the pieces where they are wrong; `failure` says why."""
        try:
            return super().accept(sampled)
        except UniaudioError as error:
            self.failure = error
            return []


class ServedBatch(RunningBatch):
    """A running batch of such answers."""

    def open(self, query: Query) -> Row:
        row = super().open(query)
        plan, caps = row.answer.plan, {"max_frames": query.max_frames, "max_text": query.max_text}
        row.answer = FallibleAnswer(self.grammar, plan, **caps)
        return row


class Ticket:
    """A request's place: what its coroutine is told."""

    def __init__(self, query: Query, row: Row) -> None:
        self.query, self.row = query, row
        self.num_rows = 2 if row.sampling.is_guided else 1
        self.is_alone = False
        """Whether it must not share the batch, because a step failed that it was part of."""
        self._num_told = self._num_again = 0
        self._loop = asyncio.get_running_loop()
        self.told: asyncio.Queue[Piece | Exception | None] = asyncio.Queue()

    def write(self, piece: Piece) -> None:
        """The next piece of the answer; what was told before it had to begin again is not told twice."""
        if self._num_again:
            self._num_again -= 1
            return
        self._num_told += 1
        self.tell(piece)

    def begin_again(self, batch: RunningBatch) -> None:
        """A new row, which depends on the query alone."""
        self.row, self.is_alone, self._num_again = batch.open(self.query), True, self._num_told

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
        ticket = Ticket(query, self._batch.open(query))
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

    def _new_batch(self) -> ServedBatch:
        return ServedBatch(self._model, self._vocabulary, num_rows=self._num_rows)

    def _run(self) -> None:
        while self._take_events():
            try:
                self._admit()
                pieces = self._batch.step() if self._batch.rows else []
            except Exception as error:
                log.exception("a step of decoding failed; %d answers begin again", len(self._written))
                self._begin_again(error)
            else:
                self._hand_out(pieces)
        while self._events.qsize():
            _, late = self._events.get()
            self._waiting += [late] if late else []
        for ticket in (*self._written.values(), *self._waiting):
            ticket.tell(RuntimeError("The model was taken out of service."))

    def _hand_out(self, pieces: Sequence[tuple[Row, Piece]]) -> None:
        for row, piece in pieces:
            self._written[id(row)].write(piece)
        for ticket in [ticket for ticket in self._written.values() if ticket.row.answer.is_done]:
            del self._written[id(ticket.row)]
            answer = ticket.row.answer
            ticket.tell(answer.failure if isinstance(answer, FallibleAnswer) else None)

    def _begin_again(self, error: Exception) -> None:
        """After a step that failed, whatever it is: an answer that was alone has failed, those that were together are tried alone."""
        tickets = list(self._written.values())
        self._written.clear()
        self._batch = self._new_batch()
        if len(tickets) == 1:
            tickets[0].tell(error)
            return
        for ticket in reversed(tickets):
            ticket.begin_again(self._batch)
            self._waiting.appendleft(ticket)

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
        if not self._waiting:
            return
        first, written = self._waiting[0], self._written.values()
        is_full = sum(ticket.num_rows for ticket in written) + first.num_rows > self._num_rows
        if written and (is_full or first.is_alone or any(ticket.is_alone for ticket in written)):
            return
        ticket = self._waiting.popleft()
        try:
            self._batch.join([ticket.row])
        except UniaudioError as error:
            ticket.tell(error)
        except Exception:
            # Who joins feeds the others first, so that it may be their failure.
            self._written[id(ticket.row)] = ticket
            raise
        else:
            self._written[id(ticket.row)] = ticket
