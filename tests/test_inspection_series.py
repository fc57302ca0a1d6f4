"""What is in series: numbers against pandas, an injected gap, a shaded stretch, bad input."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle
from scipy.signal import periodogram

from raravis.errors import RecordingError
from raravis.inspection import look_at, page, picture, series_figures
from raravis.inspection.series import BLOCK, MOST_CHANNELS, strongest_pairs
from raravis.inspection.watchers import BINS, MOST_POINTS, Moments, Sample
from raravis.series.rows import Series
from raravis.sources import RowBlock, RowSource
from raravis.windows import Recording, Windows

MONDAY = datetime(2026, 5, 4, tzinfo=UTC)


class Held(RowSource):
    """Series that lie in memory; one of them may break while it is read."""

    def __init__(self, series, interval_s=1.0, broken=None):
        self.series, self.interval_s, self._broken = series, interval_s, broken
        self.channels = series[0].channels
        self.rows = [len(one) for one in series]
        self.learn_until = [None] * len(series)
        self.skipped, self.remarks = [], ["a.csv: 3 rows were out of order"]
        self.recordings = [
            Recording(
                f"{'abcdef'[i]}.csv", f"/{'abcdef'[i]}.csv", float(one.time_s[-1]) + interval_s,
                1 / interval_s, len(self.channels), one.start_time,
            )
            for i, one in enumerate(series)
        ]  # fmt: skip

    part = None  # inspecting is not shared out

    @property
    def windows(self):
        return Windows.of(0, [], [])

    def __getitem__(self, index):
        return self.series[0].values[index].astype(np.float32)

    def read(self, recording, first_row, stop_row):
        if recording == self._broken:
            raise RecordingError(self.recordings[recording].path, "ends in the middle")
        return self.series[recording][first_row:stop_row]

    def blocks(self, recording, from_s=0.0, length=65_536, context=0):
        for first in range(0, self.rows[recording], length):
            part = self.read(recording, first, first + length)
            yield RowBlock(recording, first, 0, part, float(part.time_s[-1]) + self.interval_s)


def held(values, labels=None, start=None, interval_s=1.0, time_s=None, names=None):
    values = np.asarray(values, dtype=np.float64)
    time_s = interval_s * np.arange(len(values)) if time_s is None else time_s
    names = names or tuple(f"channel {i}" for i in range(values.shape[1]))
    return Held([Series(values, time_s, names, labels, start)], interval_s)


def wild(rows, channels, seed=0):
    """Rows with holes, of very different sizes, and one channel that never moves."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(rows, channels)) * 10.0 ** np.arange(channels) + 1000
    values[draw.random(values.shape) < 0.1] = np.nan
    values[:, -1] = 7
    return values


def test_numbers_are_those_of_pandas_over_several_blocks():
    values = wild(2 * BLOCK + 77, 3)
    table = pd.DataFrame(values)
    view = look_at(held(values))
    found = pd.DataFrame([vars(c) for c in view.channels])
    np.testing.assert_array_equal(found["count"], table.count())
    np.testing.assert_array_equal(found["missing"], table.isna().sum())
    np.testing.assert_allclose(found["mean"], table.mean(), rtol=1e-10)
    np.testing.assert_allclose(found["deviation"], table.std(), rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(found["minimum"], table.min())
    np.testing.assert_array_equal(found["maximum"], table.max())
    names = ["low", "quarter", "median", "three_quarters", "high"]
    expected = table.quantile([0.05, 0.25, 0.5, 0.75, 0.95]).T.to_numpy()
    np.testing.assert_allclose(found[names], expected, rtol=1e-12)
    np.testing.assert_array_equal(found["distinct"], table.nunique())
    assert [c.is_constant for c in view.channels] == [False, False, True]
    np.testing.assert_allclose(view.correlation().iloc[:2, :2], table.corr().iloc[:2, :2])


def test_moments_of_blocks_are_those_of_the_whole_far_from_zero():
    values = 1e9 + np.random.default_rng(0).normal(size=(1000, 1))
    moments = Moments(1)
    for start in range(0, 1000, 7):
        moments.add(values[start : start + 7])
    np.testing.assert_allclose(moments.deviation, values.std(axis=0, ddof=1), rtol=1e-6)


def test_a_channel_without_values_is_told_and_spoils_nothing():
    values = np.column_stack([np.arange(100.0), np.full(100, np.nan)])
    view = look_at(held(values))
    empty = view.channels[1]
    assert (empty.count, empty.missing, empty.distinct) == (0, 100, 0)
    assert np.isnan([empty.mean, empty.deviation, empty.median, empty.maximum]).all()
    assert view.overview()["constant"] == ["channel 1"]
    assert view.details()["statistics"][1]["mean"] is None


def test_an_injected_gap_is_found_across_the_border_of_two_blocks():
    time_s = np.arange(BLOCK + 100.0)
    time_s[BLOCK:] += 41
    time_s[10:] += 5
    view = look_at(held(np.zeros((len(time_s), 1)), time_s=time_s, start=MONDAY))
    assert [(g.recording, g.after_s, g.gap_s) for g in view.intervals.gaps] == [
        ("a.csv", BLOCK - 1 + 5.0, 42.0),
        ("a.csv", 9.0, 6.0),
    ]
    assert view.intervals.gaps[1].at.isoformat() == "2026-05-04T00:00:09+00:00"
    assert view.overview()["gaps"] == 2
    assert view.intervals.counts.sum() == len(time_s) - 1


def test_time_between_two_recordings_is_no_gap():
    one = Series(np.zeros((5, 1)), np.arange(5.0), ("x",), None, MONDAY)
    view = look_at(Held([one, one]))
    assert view.overview()["gaps"] == 0
    assert view.intervals.counts.sum() == 8


def test_labelled_rows_and_stretches_are_counted_and_shaded():
    labels = np.zeros(BLOCK + 50, dtype=bool)
    labels[100:200] = labels[BLOCK - 5 : BLOCK + 5] = True
    view = look_at(held(np.zeros((len(labels), 1)), labels))
    assert (view.known.rows, view.known.stretches) == (110, 2)
    (axis,) = series_figures.over_time(view).axes
    shaded = [p for p in axis.patches if isinstance(p, Rectangle)]
    assert len(shaded) == 2
    hours = [(p.get_x() * 3600, (p.get_x() + p.get_width()) * 3600) for p in shaded]
    bin_s = len(labels) / BINS
    assert hours[0][0] == pytest.approx(100, abs=bin_s)
    assert hours[0][1] == pytest.approx(200, abs=bin_s)


def test_what_has_no_labels_says_so():
    view = look_at(held(np.zeros((100, 1))))
    assert view.overview()["labelled_rows"] is None
    assert not series_figures.over_time(view).axes[0].patches


def test_short_series_are_drawn_row_by_row_and_long_ones_in_bins():
    short = look_at(held(np.arange(4.0)[:, None]))
    np.testing.assert_array_equal(short.envelope.mean[:, 0], np.arange(4.0))
    rows = 10 * MOST_POINTS + 3
    values = np.random.default_rng(0).normal(size=(rows, 2))
    values[rows // 2, 0], values[:200, 1] = 99, np.nan
    long = look_at(held(values)).envelope
    assert len(long.low) == len(long.first_row) == BINS
    bins = np.arange(rows) * BINS // rows
    table = pd.DataFrame(values).groupby(bins)
    np.testing.assert_allclose(long.high, table.max())
    np.testing.assert_allclose(long.low, table.min())
    np.testing.assert_allclose(long.mean, table.mean())
    np.testing.assert_allclose(long.missing[:, 1], 1 - table.count()[1] / table.size())
    np.testing.assert_array_equal(long.first_row, np.unique(bins, return_index=True)[1])
    lines = series_figures.over_time(look_at(held(values))).axes[0].lines
    assert max(len(line.get_xdata()) for line in lines) <= MOST_POINTS


def test_of_very_many_values_every_so_many_th_row_is_kept():
    sample = Sample(10_000_000, 3)
    assert sample.step == 6
    for first in (0, 100):
        rows = np.arange(first, first + 100.0)[:, None].repeat(3, axis=1)
        sample.add(first, Series(rows, rows[:, 0], ("a", "b", "c")))
    np.testing.assert_array_equal(sample.values[:, 0], np.arange(0, 200, 6))


def test_the_spectrum_peaks_at_the_cycle_and_holds_the_variance():
    seconds = 60.0 * np.arange(20_000)
    values = 3 + 2 * np.sin(2 * np.pi * seconds / 3600)[:, None]
    spectrum = look_at(held(values, interval_s=60.0)).spectrum
    peak = spectrum.hz[spectrum.power[:, 0].argmax()]
    assert 1 / peak == pytest.approx(3600, rel=0.02)
    assert spectrum.power[:, 0].sum() * spectrum.hz[0] == pytest.approx(1, rel=0.02)
    hz, power = periodogram(values[:, 0], 1 / 60)
    assert hz[power.argmax()] == pytest.approx(peak, rel=0.02)


def test_profiles_are_means_by_half_hour_and_by_hour_of_the_week():
    start = datetime(2026, 5, 6, 13, 10, tzinfo=UTC)  # a Wednesday
    values = np.random.default_rng(0).normal(size=(15 * 24 * 6, 2)) + 1e6
    values[::11, 1] = np.nan
    view = look_at(held(values, start=start, interval_s=600.0))
    times = pd.date_range(start, periods=len(values), freq="600s")
    table = pd.DataFrame(values)
    by_day = table.groupby(times.hour * 2 + times.minute // 30)
    mean, deviation = view.clock.day(view.centre)
    np.testing.assert_allclose(mean, by_day.mean(), rtol=1e-12)
    np.testing.assert_allclose(deviation, by_day.std(ddof=0), rtol=1e-6)
    by_week = table.groupby(times.day_of_week * 24 + times.hour)
    np.testing.assert_allclose(view.clock.week(view.centre)[0], by_week.mean(), rtol=1e-12)
    assert view.clock.days == pytest.approx(15, abs=0.01)


def test_of_many_channels_those_with_most_values_are_drawn():
    values = np.round(np.random.default_rng(0).normal(size=(500, 40)), 1)
    values[:, 30] = np.arange(500)
    values[:, 0] = 1
    shown = look_at(held(values)).shown
    assert len(shown) == MOST_CHANNELS and 30 in shown and 0 not in shown
    assert shown == sorted(shown)
    assert shown[:-1] == list(range(1, MOST_CHANNELS))  # of those that are alike, the first


def test_the_strongest_pairs_come_first_whatever_their_sign():
    a = np.random.default_rng(0).normal(size=500)
    values = np.column_stack([a, -a, a + np.random.default_rng(1).normal(size=500), np.ones(500)])
    pairs = strongest_pairs(look_at(held(values)).correlation(), 2)
    assert pairs[0][:2] == ("channel 0", "channel 1") and pairs[0][2] == pytest.approx(-1)
    assert len(strongest_pairs(look_at(held(values)).correlation())) == 3  # not with the constant


def test_a_recording_that_breaks_is_listed_and_the_rest_is_seen():
    series = [Series(np.full((70, 1), float(i)), np.arange(70.0), ("x",)) for i in range(2)]
    source = Held(series, broken=0)
    view = look_at(source)
    assert view.channels[0].mean == 1
    assert view.overview()["skipped"][0] == {"path": "/a.csv", "reason": "ends in the middle"}


@pytest.mark.slow
def test_the_page_tells_everything_and_needs_nothing_else():
    values = wild(15 * 24, 14)
    labels = np.arange(len(values)) % 100 > 90
    source = held(values, labels, MONDAY, 3600.0, names=tuple(f"<{i}>" for i in range(14)))
    html = page(look_at(source), "plant & co")
    titles = ["Over time", "Channels", "Missing values", "Sampling", "Distributions"]
    for title in [*titles, "Correlation", "Spectrum", "Over the day", "Over the week", "Remarks"]:
        assert f"<h2>{title}</h2>" in html
    assert html.count("data:image/png;base64,") == 7
    assert "Drawn are the 12 of 14 channels" in html
    assert "3 rows were out of order" in html
    assert "plant &amp; co" in html and "&lt;3&gt;" in html and "<3>" not in html
    assert "http" not in html and "<script" not in html


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 3, 70])
def test_little_data_make_a_page_as_well(rows):
    values = np.full((rows, 2), np.nan)
    values[:, 0] = np.arange(rows)
    assert "<h2>Over time</h2>" in page(look_at(held(values)), "short")


@pytest.mark.slow
def test_several_recordings_and_a_hundred_channels_make_a_page():
    draw = np.random.default_rng(0)
    names = tuple(f"sensor {i}" for i in range(100))
    several = [Series(draw.normal(size=(300, 100)), np.arange(300.0), names) for _ in range(3)]
    assert "Drawn are the 12 of 100 channels" in page(look_at(Held(several)), "many")
    assert picture(look_at(Held(several)))[:4] == b"\x89PNG"
