"""From scores to p-values, alarm levels and events."""

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import naive
from raravis import thresholds
from raravis.errors import ParameterError
from raravis.thresholds import Margin, Quantile, Rate, Tail, find_events
from raravis.windows import Recording, Windows


@pytest.fixture(params=thresholds.names())  # the contract, held by whatever is registered
def threshold(request):
    return thresholds.create(request.param)


def exponential(n, scale=1.0, seed=0):
    return np.random.default_rng(seed).exponential(scale, n)


def test_the_four_are_there():
    assert thresholds.names() == ["margin", "quantile", "rate", "tail"]
    with pytest.raises(ParameterError, match="choose one of margin, quantile, rate, tail"):
        thresholds.create("magic")
    with pytest.raises(ParameterError, match="has no setting 'k': it has q"):
        thresholds.create("quantile", k=3)


def test_p_values_fall_as_scores_rise_and_stay_in_0_1(threshold):
    threshold.fit(exponential(500), hours=1)
    p = threshold.p_values(np.concatenate([[-np.inf], np.linspace(-5, 5000, 20_001), [np.inf]]))
    assert (np.diff(p) <= 0).all()
    assert p[0] == 1
    assert p[-1] > 0


def test_alarms_are_what_scores_above_the_level(threshold):
    scores = exponential(500)
    threshold.fit(scores, hours=1)
    np.testing.assert_array_equal(threshold.alarms(scores), scores > threshold.level_)
    assert 0 < threshold.alarms(scores).sum() < 50 or threshold.level_ > scores.max()


def test_nan_scores_are_left_out_and_never_alarm(threshold):
    scores = exponential(500)
    threshold.fit(scores, hours=1)
    level = threshold.level_
    threshold.fit(np.concatenate([scores, [np.nan, np.inf]]), hours=1)
    assert threshold.level_ == level
    assert np.isnan(threshold.p_values(np.array([np.nan]))).all()
    assert not threshold.alarms(np.array([np.nan])).any()


def test_a_restored_threshold_says_the_same(threshold):
    scores = exponential(300)
    threshold.fit(scores, hours=1)
    again = thresholds.create(threshold.registered_name).restore(threshold.state())
    np.testing.assert_array_equal(again.p_values(2 * scores), threshold.p_values(2 * scores))
    assert again.level_ == threshold.level_


def test_silence_never_alarms(threshold):
    threshold.fit(np.full(100, 3.0), hours=0.5)
    assert not threshold.alarms(np.full(100, 3.0)).any()
    assert (threshold.p_values(np.full(3, 3.0)) == 1).all()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_handful_of_scores_is_enough_to_learn_from(threshold, n):
    threshold.fit(exponential(n), hours=0.01)
    assert 0 < threshold.p_values(np.array([100.0]))[0] <= 1 / (n + 1)


def test_refuses_before_fit_and_without_scores(threshold):
    with pytest.raises(ParameterError, match="has learned nothing yet: call fit first"):
        threshold.p_values(np.zeros(3))
    with pytest.raises(ParameterError, match="got 2, none of them finite"):
        threshold.fit(np.array([np.nan, np.inf]), hours=1)
    with pytest.raises(ParameterError, match="hours covered by the scores must be positive, got 0"):
        threshold.fit(np.zeros(3), hours=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Quantile(q=1), r"q must be in \(0, 1\), got 1"),
        (lambda: Tail(p=0), r"p must be in \(0, 1\), got 0"),
        (lambda: Tail(tail="fat"), "pareto or exponential, got 'fat'"),
        (lambda: Rate(per_hour=-1), "per_hour must be positive, got -1"),
        (lambda: Margin(q=0), "q must be positive, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


@settings(max_examples=50)
@given(
    ordinary=st.lists(st.integers(0, 20), min_size=1, max_size=60),
    score=st.integers(-2, 25),
)
def test_in_the_body_p_values_equal_their_slow_twin(ordinary, score):
    threshold = Tail().fit(np.array(ordinary, float), hours=1)
    if score <= threshold.start_:
        p = threshold.p_values(np.array([float(score)]))
        np.testing.assert_allclose(p, naive.p_value(ordinary, score))


def test_quantile_by_hand():
    threshold = Quantile(q=0.75).fit(np.arange(1.0, 6.0), hours=1)
    assert threshold.level_ == 4
    np.testing.assert_array_equal(threshold.alarms(np.array([4.0, 4.1])), [False, True])


def test_margin_by_hand():
    # Median 3, maximum 10: two and a half times the 7 between them lie above the median.
    threshold = Margin().fit(np.array([1.0, 2, 3, 4, 10, np.nan]), hours=1)
    assert threshold.level_ == 3 + 2.5 * 7
    assert Margin(q=1).fit(np.array([1.0, 2, 3, 4, 10]), hours=1).level_ == 10


def test_exponential_tail_by_hand():
    # 99 scores 1..99: the tail starts at 89 with the ten above it, their mean excess is 5.5, and
    # p(89 < s) = 11/100. So at s = 89 + 5.5 x the p-value is .11 exp(-x).
    threshold = Tail(p=0.0011, tail="exponential").fit(np.arange(1.0, 100.0), hours=1)
    assert (threshold.start_, threshold.scale_, threshold.shape_) == (89, 5.5, 0)
    np.testing.assert_allclose(threshold.p_values(np.array([89 + 5.5])), 0.11 * np.exp(-1))
    assert threshold.level_ == pytest.approx(89 + 5.5 * np.log(100))


@pytest.mark.parametrize("shape", [0.1, 0.25, 0.4])
def test_a_pareto_tail_is_found_as_scipy_finds_it(shape):
    scores = stats.genpareto.rvs(shape, size=50_000, random_state=np.random.default_rng(1))
    threshold = Tail().fit(scores, hours=10)
    excess = scores[scores > threshold.start_] - threshold.start_
    best_shape, _, best_scale = stats.genpareto.fit(excess, floc=0)  # maximum likelihood
    assert threshold.shape_ == pytest.approx(best_shape, abs=0.03)
    assert threshold.scale_ == pytest.approx(best_scale, rel=0.05)
    far = stats.genpareto.isf([1e-2, 1e-3, 1e-4, 1e-5], shape)
    ratio = threshold.p_values(far) / [1e-2, 1e-3, 1e-4, 1e-5]
    assert ((ratio > 0.5) & (ratio < 2)).all()


def test_a_tail_that_ends_is_taken_as_one_that_does_not():
    threshold = Tail().fit(np.random.default_rng(0).uniform(size=5000), hours=1)  # shape is -1
    assert threshold.shape_ == 0
    p = threshold.p_values(np.array([1.0, 1.1, 1.2]))
    assert p[0] > p[1] > p[2]


def test_p_values_of_new_ordinary_scores_are_even():
    threshold = Tail().fit(exponential(20_000), hours=1)
    p = threshold.p_values(exponential(20_000, seed=1))
    assert stats.kstest(p, "uniform").statistic < 0.02


@given(p=st.floats(1e-12, 0.999), tail=st.sampled_from(["pareto", "exponential"]))
def test_only_scores_rare_enough_exceed_level_at(p, tail):
    ordinary = exponential(200) ** 1.5
    threshold = Tail(tail=tail).fit(ordinary, hours=1)
    level = threshold.level_at(p)
    above = np.concatenate([[level + 1e-6 * (1 + abs(level))], ordinary[ordinary > level]])
    assert (threshold.p_values(above) <= p * (1 + 1e-6)).all()
    below = ordinary[ordinary <= level]
    if len(below):  # and no lower level would do
        assert threshold.p_values(np.array([below.max() * (1 - 1e-9)]))[0] > p


def test_surprise_goes_on_where_p_values_are_too_small_for_a_float():
    threshold = Tail(tail="exponential").fit(exponential(1000), hours=1)
    p, surprise = (
        f(np.array([1.0, 5.0, 1e4, 1e5])) for f in (threshold.p_values, threshold.surprise)
    )
    assert p[2] == p[3] > 0
    np.testing.assert_allclose(surprise[:2], -np.log(p[:2]))
    assert surprise[3] == pytest.approx(10 * surprise[2], rel=0.01)


@pytest.mark.parametrize(("per_hour", "hours"), [(20, 2.0), (3, 10.0)])
def test_rate_alarms_as_often_as_asked(per_hour, hours):
    scores = exponential(10_000)
    threshold = Rate(per_hour=per_hour).fit(scores, hours=hours)
    assert threshold.alarms(scores).sum() == pytest.approx(per_hour * hours, rel=0.2)
    again = threshold.alarms(exponential(10_000, seed=5)).sum()
    assert again == pytest.approx(per_hour * hours, rel=0.4)


def test_rate_reaches_beyond_the_scores_seen():
    # One alarm in ten hours, learned from six minutes.
    scores = exponential(720)
    assert Rate(per_hour=0.1).fit(scores, hours=0.1).level_ > scores.max()


def test_rate_alarms_always_where_more_is_asked_than_there_is():
    scores = exponential(50)
    assert Rate(per_hour=1000).fit(scores, hours=1).alarms(scores).all()


RECORDINGS = [
    Recording("a.wav", "/a.wav", 100.0, 22050, start_time=datetime(2026, 5, 1, 4, 0, 0)),
    Recording("b.wav", "/b.wav", 100.0, 22050),
]


def events_of(windows, scores, level=0.5, merge_s=0.0):
    scores = np.asarray(scores, dtype=float)
    return find_events(windows, scores, 1 / (1 + scores), level, RECORDINGS, merge_s)


def test_events_by_hand():
    # On a grid of 1 s every 0.5 s: windows 1 and 2 overlap, 2 and 4 touch (window 3 is quiet).
    windows = Windows.of(0, np.arange(8) / 2, np.arange(8) / 2 + 1)
    events = events_of(windows, [0, 2, 4, 0, 3, 0, 0, 1])
    assert [(e.start_s, e.end_s, e.peak_s, e.score) for e in events] == [
        (0.5, 3.0, 1.5, 4.0),
        (3.5, 4.5, 4.0, 1.0),
    ]
    assert events[0].p_value == pytest.approx(0.2)
    assert events[0].start_time == datetime(2026, 5, 1, 4, 0, 0, 500_000)
    assert events[0].recording == "a.wav"


def test_events_are_ranked_by_score_over_all_recordings():
    windows = Windows.concatenate([Windows.of(i, [0, 5], [1, 6]) for i in (0, 1)])
    events = events_of(windows, [1, 4, 3, 2])
    assert [e.score for e in events] == [4, 3, 2, 1]
    assert [e.recording for e in events] == ["a.wav", "b.wav", "b.wav", "a.wav"]
    assert events[1].start_time is None


def test_events_never_reach_from_one_recording_into_the_next():
    windows = Windows.concatenate([Windows.of(0, [99], [100]), Windows.of(1, [0], [1])])
    assert len(events_of(windows, [1, 1], merge_s=1000)) == 2


def test_windows_that_touch_but_for_rounding_are_one_event():
    windows = Windows.of(0, [0, 0.1 * 3], [0.3, 0.4])
    assert windows.start_s[1] > windows.end_s[0]
    assert len(events_of(windows, [1, 1])) == 1


def test_gaps_up_to_merge_s_are_bridged():
    windows = Windows.of(0, [0, 2, 6], [1, 3, 7])
    assert [len(events_of(windows, [1, 1, 1], merge_s=m)) for m in (0, 1, 2.9, 3)] == [3, 2, 2, 1]


def test_below_zero_windows_that_touch_stay_apart_and_are_called_by_name():
    windows = Windows.of(0, [0, 1], [1, 2])
    found = find_events(
        windows, np.array([1.0, 2.0]), np.ones(2), 0.5, [RECORDINGS[0]], -0.5, ["a.png", "b.png"]
    )
    assert [event.frame for event in found] == ["b.png", "a.png"]


def test_nan_scores_and_an_infinite_level_make_no_event():
    windows = Windows.of(0, [0, 1], [1, 2])
    assert events_of(windows, [np.nan, np.nan]) == []
    assert events_of(windows, [9, 9], level=np.inf) == []
    assert events_of(Windows.of(0, [], []), []) == []


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 1), st.integers(0, 40), st.integers(1, 8), st.floats(0, 1, width=16)
        ),
        max_size=15,
    ),
    merge_s=st.sampled_from([0.0, 1.0, 2.5]),
)
def test_events_of_segments_of_any_length_equal_their_slow_twin(rows, merge_s):
    stretches = [(recording, start, start + length) for recording, start, length, _ in rows]
    scores = [score for *_, score in rows]
    columns = np.array(stretches, dtype=float).reshape(-1, 3).T
    windows = Windows(columns[0].astype(np.int32), columns[1], columns[2])
    alarmed = [w for w, score in zip(stretches, scores, strict=True) if score > 0.5]
    expected = {
        (RECORDINGS[run[0][0]].name, min(w[1] for w in run), max(w[2] for w in run))
        for run in naive.runs(alarmed, merge_s)
    }
    events = events_of(windows, scores, merge_s=merge_s)
    assert {(e.recording, e.start_s, e.end_s) for e in events} == expected
    assert len(events) == len(expected)
    assert all(e.start_s < e.peak_s < e.end_s and e.score > 0.5 for e in events)


def test_columns_of_different_length_are_refused():
    with pytest.raises(ParameterError, match="of one length, got 2, 1, 1"):
        events_of(Windows.of(0, [0, 1], [1, 2]), [1])
