"""Rows judged without learning first: a chain for each channel, which knows what came before.

For a first look at a series, for streams that begin today, and for one channel that lives by the
clock. Several channels do not see each other here; a model of rows does that better.
"""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Any

import numpy as np

from raravis.errors import DataError, ParameterError
from raravis.learned import State
from raravis.novelty import FAMILIES, NoveltyChain
from raravis.row_layer import Verdict
from raravis.series.rows import Series
from raravis.windows import FloatArray

LEAST_P = 1e-300


class NoveltyStream:
    """Rows of several channels as they come, each channel judged by what it showed before.

        p     = min(1, channels x least p of a channel)
        score = -log10 p

    so that a score of 3 is met once in a thousand ordinary rows. A channel's contribution follows
    its own -log10 p. The members of a verdict are the chains' ways of looking, by `FAMILIES`: how
    new each found the row, weighted, summed over the channels.

    channels  their names.
    chain     options of `raravis.novelty.NoveltyChain`.
    """

    def __init__(self, channels: tuple[str, ...], chain: dict[str, Any]) -> None:
        self.channels = channels
        self.chains = [NoveltyChain(**chain) for _ in channels]
        self.alarm_rate = self.chains[0].alarm_rate
        self._last: Any = None

    def update(self, rows: FloatArray, times: Any = None) -> Verdict:
        """Judges rows (n, C); times (n,) are dates or seconds, or None. Only dates tell the time
        of day."""
        if rows.shape[1] != len(self.channels):
            raise ParameterError(
                f"a row must have {len(self.channels)} values, for {', '.join(self.channels)}, "
                f"got {rows.shape[1]}"
            )
        self._check_order(times)
        dates = times if _are_dates(times) else None
        judged = [
            chain.judge(column, dates) for chain, column in zip(self.chains, rows.T, strict=True)
        ]
        families = np.zeros((len(rows), len(FAMILIES)))
        for one, chain in zip(judged, self.chains, strict=True):
            known = one.families == one.families  # not NaN
            families += np.where(known, one.families, 0.0) * chain.weights
        p_values = np.stack([one.p_value for one in judged], axis=1)
        return self._together(p_values, dict(zip(FAMILIES, families.T, strict=True)))

    def _together(self, p_values: FloatArray, families: dict[str, FloatArray]) -> Verdict:
        known = p_values == p_values  # not NaN
        likely = np.where(known, np.maximum(p_values, LEAST_P), 1.0)  # (n, C)
        together = np.minimum(len(self.channels) * likely.min(axis=1), 1.0)
        together[~known.any(axis=1)] = np.nan
        score = np.abs(np.log10(together))
        parts = np.abs(np.log10(likely))
        length = np.sqrt(np.einsum("nc,nc->n", parts, parts) / len(self.channels))
        contributions = parts * (score / np.maximum(length, 1e-12))[:, None]
        return Verdict(score, together, together < self.alarm_rate, contributions, families)

    def _check_order(self, times: Any) -> None:
        if times is None or not len(times):
            return
        together = [*([] if self._last is None else [self._last]), *times]
        if any(later < earlier for earlier, later in itertools.pairwise(together)):
            raise DataError("rows of a stream must come in order of time: one is before the last")
        self._last = together[-1]

    def state(self) -> State:
        """Everything that the chains remember."""
        return {
            f"{number}.{name}": array
            for number, chain in enumerate(self.chains)
            for name, array in chain.state().items()
        }

    def restore(self, state: State) -> None:
        """The inverse of `state`."""
        for number, chain in enumerate(self.chains):
            own = f"{number}."
            chain.restore({k.removeprefix(own): v for k, v in state.items() if k.startswith(own)})


def dates_of(series: Series) -> Any:
    """What the clock on the wall showed at each row, (n,), or None where nothing tells it."""
    if series.start_time is None:
        return None
    wall = np.datetime64(series.start_time.replace(tzinfo=None), "us")
    return wall + np.round(series.time_s * 1e6).astype("timedelta64[us]")


def _are_dates(times: Any) -> bool:
    return times is not None and isinstance(times[0], datetime | np.datetime64)
