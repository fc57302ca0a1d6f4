"""Workers that are actors of a Ray cluster: of many machines, or of this one alone.

Every machine of a cluster must have raravis and see the recordings under the same paths. What was
learned is sent to it. Source: https://docs.ray.io, "Actors" and "Fault tolerance".
"""

from __future__ import annotations

import os
from typing import Any

from raravis.detector import Detector
from raravis.errors import ParameterError
from raravis.sources import Source
from raravis.spreading.pieces import Answer, Judge, News, Piece, Workers

LOCAL_MEMORY = 256 << 20  # bytes of shared memory for answers on their way


class RemoteJudge(Judge):
    """A judge that says when it has loaded what was learned."""

    def __init__(self, config: dict[str, Any], state: dict[str, Any]) -> None:
        own = {name: array.copy() for name, array in state.items()}  # what is shared is read only
        super().__init__(Detector.learned(config, own))

    def ready(self) -> None:
        """Answered once all is loaded."""


class Actors(Workers):
    """As many actors, each on one core; by default one for each core of the cluster.

    Where RAY_ADDRESS names no cluster, one of this machine alone is started, that listens to
    nobody but this machine, shows no dashboard and tells nobody of its use. Raises ParameterError
    where Ray is not installed.
    """

    def __init__(self, detector: Detector, workers: int | None = None) -> None:
        self._ray = _ray()
        self._owns = not self._ray.is_initialized()
        if self._owns:
            _join(self._ray, workers)
        self.most = workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._learned = [self._ray.put(part) for part in (detector.config, detector.sense.state())]
        self._actor = self._ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(RemoteJudge)
        self._known: dict[int, Any] = {}
        self._calls: dict[Any, tuple[int, Piece | None]] = {}
        self._hired = 0

    def hire(self) -> int:
        """Starts an actor, where and when the cluster has a core free."""
        self._hired += 1
        actor = self._known[self._hired] = self._actor.remote(*self._learned)
        self._calls[actor.ready.remote()] = self._hired, None
        return self._hired

    def give(self, worker: int, source: Source, piece: Piece) -> None:
        """Gives a piece to an actor."""
        call = self._known[worker].judge.remote(source, piece.from_s, piece.to_s)
        self._calls[call] = worker, piece

    def news(self, wait: bool) -> list[News]:
        """What the actors answered since."""
        if not self._calls:
            return []
        if wait:
            self._ray.wait(list(self._calls), num_returns=1)
        calls = list(self._calls)
        done, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
        return [news for call in done if (news := self._heard(call))]

    def _heard(self, call: Any) -> News | None:
        worker, piece = self._calls.pop(call)
        if worker not in self._known:
            return None  # it died before, and that is known
        errors = self._ray.exceptions
        try:
            answer: Answer | None = self._ray.get(call)
        except errors.RayTaskError as error:
            raise error.cause or error from None
        except errors.RayError as error:
            self._ray.kill(self._known.pop(worker))
            return News(worker, died=str(error).strip().splitlines()[0])
        return News(worker, piece, answer)

    def close(self) -> None:
        """Ends all actors, and the cluster where it was started here."""
        for actor in self._known.values():
            self._ray.kill(actor)
        self._known.clear()
        self._calls.clear()
        if self._owns:
            self._ray.shutdown()


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise ParameterError(
            "--on ray needs Ray, which is not installed: pip install 'raravis[cluster]', or take "
            "--on processes"
        ) from error
    return ray


def _join(ray: Any, workers: int | None) -> None:
    """Joins the cluster of RAY_ADDRESS, or starts one of this machine alone."""
    if os.environ.get("RAY_ADDRESS"):
        ray.init(address="auto")
        return
    from raravis.spreading import cores

    ray.init(
        address="local",
        num_cpus=workers or cores(),
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=LOCAL_MEMORY,
        _node_ip_address="127.0.0.1",
        logging_level="WARNING",
    )
