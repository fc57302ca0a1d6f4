"""Pieces given out to workers ahead of need, and their answers taken back in order.

However many recordings there are, at most `AHEAD` pieces for each worker are under way or waiting
to be written, so memory does not grow with the collection. What a dead worker had in hand goes to
others first of all.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence

from raravis.detector import Detector
from raravis.errors import RecordingError, RunError
from raravis.sources import Source
from raravis.spreading.pieces import Answer, News, Piece, Workers
from raravis.store import Rows
from raravis.windows import Skipped

IN_HAND = 2  # pieces that one worker has: it goes on while its last answer is being written
AHEAD = 3  # pieces for each worker that are under way or wait to be written
MOST_DEATHS = 3


def plan(detector: Detector, source: Source, starts: Sequence[float]) -> Iterator[Piece]:
    """The pieces of all recordings that are not scored to their end, in order."""
    for index, (recording, from_s) in enumerate(zip(source.recordings, starts, strict=True)):
        if from_s < recording.duration_s:
            for piece in detector.sense.pieces(source, index, from_s):
                yield Piece(index, *piece)


class Ordering:
    """Has the pieces of a plan judged by workers; `judged` gives what one process would."""

    def __init__(self, workers: Workers, source: Source, pieces: Iterator[Piece]) -> None:
        self.workers = workers
        self.source = source
        self._plan = pieces
        self._order: deque[Piece] = deque()  # taken from the plan, not yet written
        self._waiting: deque[Piece] = deque()  # of these, in nobody's hand
        self._in_hand: dict[int, list[Piece]] = {}
        self._ready: set[int] = set()
        self._answers: dict[Piece, Answer] = {}
        self._deaths: Counter[Piece | None] = Counter()

    def judged(self, recording: int, from_s: float) -> Iterator[tuple[float, dict[str, Rows]]]:
        """(scored until, rows by layer) of each block of one recording, in order.

        Recordings are asked for in order; those left out are not waited for. Raises RecordingError
        where the recording broke.
        """
        while piece := self._next(recording):
            answer = self._answer_of(piece)
            self.source.skipped += [s for s in answer.skipped if s not in self.source.skipped]
            for block in answer.blocks:
                yield block
                self._hear(wait=False)
                self._give_out()
            if answer.broken is not None:
                raise RecordingError(answer.broken.path, answer.broken.reason)

    def make_ready(self) -> None:
        """Waits until all workers for whom there is work are ready for it."""
        self._fill()
        self._hire()
        while len(self._ready) < len(self._in_hand):
            self._hear(wait=True)
            self._hire()

    def _next(self, recording: int) -> Piece | None:
        """The next piece of a recording, None where there is no more; drops those before it."""
        self._fill()
        while self._order and self._order[0].recording < recording:
            self._drop(self._order.popleft())
            self._fill()
        first = self._order[0] if self._order else None
        return first if first is not None and first.recording == recording else None

    def _fill(self) -> None:
        """Takes pieces from the plan, as many as may be under way."""
        while len(self._order) < AHEAD * self.workers.most:
            piece = next(self._plan, None)
            if piece is None:
                return
            self._order.append(piece)
            self._waiting.append(piece)

    def _drop(self, piece: Piece) -> None:
        """Forgets a piece that nobody asks for any more: its recording broke before it."""
        self._answers.pop(piece, None)
        if piece in self._waiting:
            self._waiting.remove(piece)

    def _answer_of(self, piece: Piece) -> Answer:
        self._give_out()
        while piece not in self._answers:
            self._hear(wait=True)
            self._give_out()
        self._order.remove(piece)
        return self._answers.pop(piece)

    def _give_out(self) -> None:
        """Gives each worker that is ready what it can hold."""
        self._hire()
        for held in range(IN_HAND):  # first one piece for each, then a second
            for worker in sorted(self._ready):
                if self._waiting and len(self._in_hand[worker]) == held:
                    piece = self._waiting.popleft()
                    self._in_hand[worker].append(piece)
                    self.workers.give(worker, self.source.part([piece.recording]), piece)

    def _hire(self) -> None:
        """Hires as many as there is work for."""
        idle = sum(not pieces for pieces in self._in_hand.values())
        for _ in range(min(self.workers.most - len(self._in_hand), len(self._waiting) - idle)):
            self._in_hand[self.workers.hire()] = []

    def _hear(self, wait: bool) -> None:
        for news in self.workers.news(wait):
            if news.died:
                self._bury(news)
            elif news.piece is None or news.answer is None:
                self._ready.add(news.worker)
            else:
                self._in_hand[news.worker].remove(news.piece)
                if news.piece in self._order:
                    self._answers[news.piece] = news.answer

    def _bury(self, news: News) -> None:
        """Puts back what a dead worker had in hand. What it died of thrice is given up."""
        pieces = self._in_hand.pop(news.worker)
        self._ready.discard(news.worker)
        blamed = pieces[0] if pieces else None
        self._deaths[blamed] += 1
        if self._deaths[blamed] >= MOST_DEATHS:
            if blamed is None:
                raise RunError(
                    f"workers die before they can judge anything, the last one so: {news.died}"
                )
            path = self.source.recordings[blamed.recording].path
            reason = (
                f"{MOST_DEATHS} workers died while they judged it from {blamed.from_s:g} s on, the "
                f"last one so: {news.died}; is there enough memory?"
            )
            self._answers[blamed] = Answer(broken=Skipped(path, reason))
            pieces = pieces[1:]
        self._waiting.extendleft(p for p in reversed(pieces) if p in self._order)
