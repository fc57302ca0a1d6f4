"""Workers that are processes of this machine; needs nothing but Python."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from raravis.detector import Detector
from raravis.sources import Source
from raravis.spreading.pieces import Answer, Judge, News, Piece, Workers

READY = "ready"


class Processes(Workers):
    """As many processes, each with one thread; by default one for each core that may be used."""

    def __init__(self, detector: Detector, workers: int | None = None) -> None:
        from raravis.spreading import cores

        self.most = workers or cores()
        self._folder = tempfile.TemporaryDirectory()
        detector.save(self._folder.name)
        self._known: dict[int, tuple[SpawnProcess, Connection]] = {}
        self._hired = 0

    def hire(self) -> int:
        """Starts a process; it loads what was learned and says that it is ready."""
        ours, theirs = multiprocessing.Pipe()
        with one_thread_each():
            process = multiprocessing.get_context("spawn").Process(
                target=work, args=(theirs, Path(self._folder.name)), daemon=True
            )
            process.start()
        theirs.close()  # so that its death is an end of file here
        self._hired += 1
        self._known[self._hired] = process, ours
        return self._hired

    def give(self, worker: int, source: Source, piece: Piece) -> None:
        """Gives a piece to a process."""
        with suppress(OSError):  # it has died, which is the next thing heard of it
            self._known[worker][1].send((source, piece))

    def news(self, wait: bool) -> list[News]:
        """What the processes said since."""
        workers = {ours: worker for worker, (_, ours) in self._known.items()}
        spoke = wait_for(list(workers), timeout=None if wait else 0)
        return [self._heard(workers[ours], ours) for ours in spoke if isinstance(ours, Connection)]

    def _heard(self, worker: int, ours: Connection) -> News:
        try:
            said = ours.recv()
        except (EOFError, OSError):
            process, _ = self._known.pop(worker)
            ours.close()
            process.join()
            return News(worker, died=f"process {process.pid} ended with code {process.exitcode}")
        if isinstance(said, BaseException):
            raise said
        return News(worker) if said == READY else News(worker, *said)

    def close(self) -> None:
        """Ends all processes."""
        for process, ours in self._known.values():
            process.terminate()
            process.join()
            ours.close()
        self._known.clear()
        self._folder.cleanup()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes started inside calculate with one thread: numerical libraries ask the environment
    when they are loaded, which in a new process is before anything of ours runs."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        os.environ.pop("OMP_NUM_THREADS")
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def work(theirs: Connection, folder: Path) -> None:
    """What a worker's process does until it is ended or left alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who was asked
    given: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(theirs, given), daemon=True).start()
    with suppress(BrokenPipeError):  # whoever asked is gone
        try:
            judge = Judge(Detector.load(folder))
            theirs.send(READY)
            while (task := given.get()) is not None:
                source, piece = task
                answer: Answer = judge.judge(source, piece.from_s, piece.to_s)
                theirs.send((piece, answer))
        except Exception as error:
            theirs.send(error)
            raise


def _listen(theirs: Connection, given: queue.SimpleQueue[Any]) -> None:
    """Takes what is given while the process judges, so that nobody waits for it to be taken."""
    with suppress(EOFError, OSError):
        while True:
            given.put(theirs.recv())
    given.put(None)
