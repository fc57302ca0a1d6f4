"""Numbers that say how well scores find: by hand, against slow twins, and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

import naive
from raravis.errors import ParameterError
from raravis.metrics import (
    auroc,
    average_precision,
    best_f1,
    bootstrap_interval,
    event_scores,
    recall_at_false_alarms,
)
from raravis.windows import Windows

# Few distinct scores, so that most of them tie.
ranked = st.lists(
    st.tuples(st.booleans(), st.sampled_from([-1.5, 0.0, 0.25, 2.0, 7.0])), min_size=2, max_size=30
).filter(lambda rows: len({label for label, _ in rows}) == 2)

stretches = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 30), st.integers(1, 6), st.integers(0, 4)),
    min_size=1,
    max_size=20,
)


def as_windows(rows):
    recording, start_s, end_s = zip(*rows, strict=True)
    return Windows(np.array(recording), np.array(start_s, float), np.array(end_s, float))


@pytest.mark.parametrize("name", ["auroc", "average_precision", "best_f1"])
@given(rows=ranked)
def test_equals_its_slow_twin_whatever_ties(name, rows):
    labels, scores = zip(*rows, strict=True)
    ours = {"auroc": auroc, "average_precision": average_precision, "best_f1": best_f1}[name]
    assert ours(labels, scores) == pytest.approx(getattr(naive, name)(labels, scores), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_learn(seed):
    random = np.random.default_rng(seed)
    labels = random.random(500) < 0.1
    scores = np.round(random.standard_normal(500) + labels, 1)  # with ties
    assert auroc(labels, scores) == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores))
    assert average_precision(labels, scores) == pytest.approx(
        sklearn_metrics.average_precision_score(labels, scores)
    )
    precision, recall, _ = sklearn_metrics.precision_recall_curve(labels, scores)
    with np.errstate(invalid="ignore"):
        f1 = np.nanmax(2 * precision * recall / (precision + recall))
    assert best_f1(labels, scores) == pytest.approx(f1)


def test_by_hand():
    # Ranking: true, other, true, other. Of four pairs three are in order; precision is 1 at the
    # first true one and 2/3 at the second; the best F1 takes three: 2 (2/3) 1 / (5/3) = 0.8.
    labels, scores = [1, 0, 1, 0], [4, 3, 2, 1]
    assert auroc(labels, scores) == 0.75
    assert average_precision(labels, scores) == pytest.approx((1 + 2 / 3) / 2)
    assert best_f1(labels, scores) == pytest.approx(0.8)


def test_chance_is_one_half_where_all_scores_tie():
    assert auroc([1, 0, 0], [2, 2, 2]) == 0.5


def test_what_was_not_looked_at_ranks_last():
    assert auroc([1, 0, 0], [-np.inf, 0, 1]) == 0


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 0], [1.0], r"one length, got \(2,\) and \(1,\)"),
        ([[1, 0]], [[1.0, 2.0]], r"must be \(N,\)"),
        ([1, 0], [np.nan, 1.0], "1 of 2 scores are NaN"),
        ([1, 1], [0.0, 1.0], "both kinds, got 2 true of 2"),
        ([0, 2], [0.0, 1.0], "labels must be 0 or 1"),
    ],
)
def test_refuses_and_says_why(labels, scores, message):
    for metric in (auroc, average_precision, best_f1):
        with pytest.raises(ParameterError, match=message):
            metric(labels, scores)


def test_an_event_scores_as_the_highest_window_that_overlaps_it():
    windows = Windows.of(0, [0, 1, 2, 3], [1, 2, 3, 4])
    events = Windows(np.array([0, 0, 1]), np.array([0.5, 3.0, 0.5]), np.array([2.0, 9.0, 2.0]))
    # The first overlaps windows 0 and 1 and only touches 2; the third is in another recording.
    np.testing.assert_array_equal(event_scores(windows, [5, 6, 9, 1], events), [6, 1, -np.inf])


@settings(max_examples=60, deadline=None)
@given(rows=stretches, where=stretches, per_hour=st.sampled_from([0.0, 1.0, 2.0, 5.0, 50.0]))
def test_recall_at_false_alarms_equals_its_slow_twin(rows, where, per_hour):
    windows = [(recording, start, start + length) for recording, start, length, _ in rows]
    scores = [float(score) for *_, score in rows]
    events = [(recording, start, start + length) for recording, start, length, _ in where[:3]]
    ours = recall_at_false_alarms(
        as_windows(windows), scores, as_windows(events), hours=1.5, per_hour=per_hour
    )
    assert ours == pytest.approx(
        naive.recall_at_false_alarms(windows, scores, events, 1.5, per_hour)
    )
    np.testing.assert_array_equal(
        event_scores(as_windows(windows), scores, as_windows(events)),
        naive.event_scores(windows, scores, events),
    )


def test_recall_at_false_alarms_by_hand():
    # Two hours. Rare at 10-11 s (score 3) and 20-21 s (score 1). Windows at 0-1 and 1-2 score 2
    # and touch: one false alarm. So 0 per hour bear level 3, half the events; 0.5 bear all.
    windows = Windows.of(0, [0, 1, 10, 20], [1, 2, 11, 21])
    events = Windows.of(0, [10, 20], [11, 21])
    recall = recall_at_false_alarms(windows, [2, 2, 3, 1], events, 2.0, [0.0, 0.4, 0.5])
    np.testing.assert_array_equal(recall, [0.5, 0.5, 1.0])


def test_false_alarms_at_one_time_in_two_recordings_are_two():
    windows = Windows(np.array([0, 1, 0]), np.array([0.0, 0, 50]), np.array([1.0, 1, 51]))
    event = Windows.of(0, [50], [51])
    recall = recall_at_false_alarms(windows, [1, 1, 1], event, 1.0, [1, 2])
    np.testing.assert_array_equal(recall, [0, 1])


def test_an_alarm_that_never_ends_is_many():
    windows = Windows.of(0, range(3600), range(1, 3601))
    event = Windows.of(0, [3599], [3600])
    always = np.ones(3600)
    assert recall_at_false_alarms(windows, always, event, 1.0, 359) == 0
    assert recall_at_false_alarms(windows, always, event, 1.0, 360) == 1


def test_a_short_window_inside_a_long_one_does_not_end_the_run():
    windows = Windows.of(0, [0, 1, 5, 50], [10, 2, 6, 51])
    event = Windows.of(0, [50], [51])
    assert recall_at_false_alarms(windows, [1, 1, 1, 1], event, 1.0, 1) == 1


def test_events_outside_all_windows_are_never_found():
    windows, events = Windows.of(0, [0], [1]), Windows.of(0, [5], [6])
    assert recall_at_false_alarms(windows, [1.0], events, 1.0, 1e9) == 0


def test_recall_at_false_alarms_refuses_and_says_why():
    windows = Windows.of(0, [0], [1])
    with pytest.raises(ParameterError, match="got 0 events"):
        recall_at_false_alarms(windows, [1.0], Windows.of(0, [], []), 1.0, 1.0)
    with pytest.raises(ParameterError, match="0 hours"):
        recall_at_false_alarms(windows, [1.0], windows, 0, 1.0)
    with pytest.raises(ParameterError, match=r"scores must be \(1,\), got \(2,\)"):
        event_scores(windows, [1.0, 2.0], windows)
    with pytest.raises(ParameterError, match="1 of 1 scores are NaN"):
        event_scores(windows, [np.nan], windows)


def test_bootstrap_interval_covers_what_is_true():
    # Scores of true ones are N(1, 1), of others N(0, 1): AUROC = Phi(1 / sqrt 2) = 0.7602.
    covered = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        labels = np.arange(200) < 60
        scores = random.standard_normal(200) + labels
        low, high = bootstrap_interval(auroc, labels, scores, rounds=200, seed=seed)
        covered += low <= 0.7602 <= high
    assert 34 <= covered <= 40  # 38 expected at 95 %


def test_bootstrap_interval_is_the_same_for_the_same_seed():
    labels, scores = [1, 0, 1, 0, 0], [3, 1, 2, 2, 0]
    same = [bootstrap_interval(auroc, labels, scores, rounds=50, seed=3) for _ in range(2)]
    assert same[0] == same[1] != bootstrap_interval(auroc, labels, scores, rounds=50, seed=4)
    with pytest.raises(ParameterError, match=r"confidence must be in \(0, 1\)"):
        bootstrap_interval(auroc, labels, scores, confidence=95)
