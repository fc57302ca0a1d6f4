"""Metrics of rows: alarms, labelled runs, VUS-PR; by hand, slow twins, library numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

import naive
from raravis import metrics
from raravis.errors import ParameterError
from raravis.metrics import (
    Confusion,
    confusion,
    delays,
    detection_delay,
    event_recall,
    labelled_runs,
    point_adjusted_f1_beside_random,
    precision_recall,
    roc,
    vus_pr,
)

RATES = ("balanced_accuracy", "precision", "recall", "f1", "false_alarm_rate", "miss_rate")

# Few distinct scores, so that most of them tie.
rows_of_both_kinds = st.lists(
    st.tuples(st.booleans(), st.sampled_from([-1.5, 0.0, 0.25, 2.0, 7.0])), min_size=2, max_size=40
).filter(lambda rows: len({label for label, _ in rows}) == 2)

# --- alarms --------------------------------------------------------------------------------------


def test_rates_by_hand():
    # Four labelled rows, three of them found; four others, one of them a false alarm.
    labels, alarms = [1, 1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 1, 0, 0, 0]
    assert confusion(labels, alarms) == Confusion(found=3, missed=1, false_alarms=1, quiet=3)
    assert metrics.accuracy(labels, alarms) == 6 / 8
    assert metrics.balanced_accuracy(labels, alarms) == 3 / 4
    assert metrics.precision(labels, alarms) == metrics.recall(labels, alarms) == 3 / 4
    assert metrics.f1(labels, alarms) == 3 / 4
    assert metrics.false_alarm_rate(labels, alarms) == metrics.miss_rate(labels, alarms) == 1 / 4


@pytest.mark.parametrize("seed", range(3))
def test_rates_equal_scikit_learn(seed):
    random = np.random.default_rng(seed)
    labels, alarms = random.random((2, 200)) < [[0.1], [0.2]]
    for name, theirs in {
        "accuracy": sklearn_metrics.accuracy_score,
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score,
        "precision": sklearn_metrics.precision_score,
        "recall": sklearn_metrics.recall_score,
        "f1": sklearn_metrics.f1_score,
    }.items():
        assert getattr(metrics, name)(labels, alarms) == pytest.approx(theirs(labels, alarms))
    (quiet, false_alarms), (missed, found) = sklearn_metrics.confusion_matrix(labels, alarms)
    assert confusion(labels, alarms) == (found, missed, false_alarms, quiet)


def test_who_never_alarms_has_precision_0_and_who_always_says_the_same_is_half_right():
    labels = [0, 0, 0, 1]
    assert metrics.precision(labels, [0] * 4) == metrics.f1(labels, [0] * 4) == 0
    assert metrics.balanced_accuracy(labels, [0] * 4) == 0.5
    assert metrics.balanced_accuracy(labels, [1] * 4) == 0.5
    assert metrics.accuracy(labels, [0] * 4) == 0.75


def test_accuracy_may_be_asked_where_all_rows_are_ordinary():
    assert metrics.accuracy([0, 0, 0, 0], [0, 0, 1, 0]) == 0.75


@pytest.mark.parametrize("name", RATES)
def test_rates_refuse_and_say_why(name):
    rate = getattr(metrics, name)
    with pytest.raises(ParameterError, match="both kinds, got 0 true of 3"):
        rate([0, 0, 0], [0, 1, 0])
    with pytest.raises(ParameterError, match=r"of one length, at least 1, got \(2,\) and \(3,\)"):
        rate([0, 1], [0, 1, 0])
    with pytest.raises(ParameterError, match="alarms must be 0 or 1"):
        rate([0, 1], [0.2, 1])
    with pytest.raises(ParameterError, match="labels must be 0 or 1"):
        rate([0, np.nan], [0, 1])


# --- curves --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_curves_equal_scikit_learn(seed):
    random = np.random.default_rng(seed)
    labels = random.random(300) < 0.2
    scores = np.round(random.standard_normal(300) + labels, 1)
    theirs = sklearn_metrics.roc_curve(labels, scores, drop_intermediate=False)[:2]
    np.testing.assert_allclose(roc(labels, scores), theirs)
    precision, recall = precision_recall(labels, scores)
    theirs = sklearn_metrics.precision_recall_curve(labels, scores)
    np.testing.assert_allclose(precision[::-1], theirs[0][:-1])  # theirs ends with a made-up point
    np.testing.assert_allclose(recall[::-1], theirs[1][:-1])


# --- events --------------------------------------------------------------------------------------


def test_labelled_runs_end_where_a_recording_ends():
    labels, recording = [1, 1, 0, 1, 1, 1], [0, 0, 0, 0, 0, 1]
    np.testing.assert_array_equal(labelled_runs(labels), [[0, 2], [3, 6]])
    np.testing.assert_array_equal(labelled_runs(labels, recording), [[0, 2], [3, 5], [5, 6]])


def test_recall_and_delay_of_events_by_hand():
    # Three events. The first is found in its second row, the second in its first row, the third
    # never: the alarm right before it does not count.
    labels = [1, 1, 0, 0, 1, 1, 1, 0, 0, 1]
    alarms = [0, 1, 1, 0, 1, 1, 0, 0, 1, 0]
    assert event_recall(labels, alarms) == pytest.approx(2 / 3)
    np.testing.assert_array_equal(delays(labels, alarms), [1, 0, np.nan])
    assert detection_delay(labels, alarms) == 0.5
    time_s = np.arange(10) ** 2.0
    np.testing.assert_array_equal(delays(labels, alarms, time_s), [1, 0, np.nan])
    assert detection_delay(labels, [0, 0, 0, 0, 0, 0, 1, 0, 0, 0], time_s) == 36 - 16
    assert np.isnan(detection_delay(labels, [0] * 10))
    assert event_recall(labels, [0] * 10) == 0


@given(rows=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_delays_equal_their_slow_twin(rows):
    labels, alarms = zip(*([*rows, (True, False)]), strict=True)
    np.testing.assert_array_equal(delays(labels, alarms), naive.delays(labels, alarms))


def test_events_refuse_and_say_why():
    with pytest.raises(ParameterError, match="no event to be found: none of 2 rows"):
        event_recall([0, 0], [0, 1])
    with pytest.raises(ParameterError, match=r"time_s must be \(2,\), one for each row"):
        delays([0, 1], [0, 1], [1.0])
    with pytest.raises(ParameterError, match=r"recording must be \(2,\), one for each row"):
        delays([0, 1], [0, 1], recording=[0])


@settings(deadline=None)
@given(rows=rows_of_both_kinds)
def test_point_adjusted_f1_equals_its_slow_twin(rows):
    labels, scores = zip(*rows, strict=True)
    ours, chance = point_adjusted_f1_beside_random(labels, scores, seed=3)
    assert ours == pytest.approx(naive.point_adjusted_f1(labels, scores))
    random = np.random.default_rng(3).random(len(scores))
    assert chance == pytest.approx(naive.point_adjusted_f1(labels, random.tolist()))


def test_point_adjusted_f1_flatters_random_numbers():
    # One event of 300 rows in 3000: chance reaches about .9, its honest F1 is below .2.
    labels = (np.arange(3000) >= 1500) & (np.arange(3000) < 1800)
    scores = np.random.default_rng(8).random(3000)
    ours, chance = point_adjusted_f1_beside_random(labels, scores)
    assert ours > 0.9 and chance > 0.9
    assert metrics.best_f1(labels, scores) < 0.2


# --- the volume ----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(rows=rows_of_both_kinds, most=st.integers(0, 12), levels=st.integers(2, 9))
def test_the_volume_equals_its_slow_twin(rows, most, levels):
    labels, scores = zip(*rows, strict=True)
    ours = vus_pr(labels, scores, most=most, levels=levels)
    assert ours == pytest.approx(naive.vus_pr(labels, scores, most, levels), abs=1e-12)


def uneven(rows, starts, length):
    """Events of length, 2 length, ... rows, and scores that see each three rows late."""
    labels = np.zeros(rows, dtype=bool)
    for number, start in enumerate(starts, start=1):
        labels[start : start + number * length] = True
    return labels, np.arange(rows) * 7919 % 1009 / 1009 + 0.4 * np.roll(labels, 3)


@pytest.mark.parametrize(
    ("rows", "starts", "length", "most", "theirs"),
    [
        (1500, [0, 300, 370, 1200], 20, 100, 0.6496061403199275),
        (1500, [0, 300, 370, 1200], 20, 30, 0.5983220868413419),
        (400, [100, 130, 390], 4, 100, 0.5282242631816743),
    ],
)
def test_the_volume_equals_that_of_tsb_ad(rows, starts, length, most, theirs):
    # The last column was computed with TSB_AD 1.5, basic_metricor().RangeAUC_volume_opt.
    assert vus_pr(*uneven(rows, starts, length), most=most) == pytest.approx(theirs, abs=1e-12)


def test_the_volume_of_a_right_ranking_is_1_and_of_a_wrong_one_near_the_share_of_labels():
    labels = np.zeros(1000, dtype=bool)
    labels[500:550] = True
    assert vus_pr(labels, labels, most=0) == pytest.approx(1)
    assert vus_pr(labels, -labels.astype(float), most=0) < 0.06
    assert vus_pr(labels, np.zeros(1000), most=0) == pytest.approx(0.05)


def test_the_volume_forgives_a_short_delay_that_average_precision_does_not():
    labels = np.zeros(1000, dtype=bool)
    labels[500:550] = True
    late = np.roll(labels, 10).astype(float)
    assert vus_pr(labels, late) > metrics.average_precision(labels, late) + 0.02


def test_a_step_of_5_differs_little():
    labels, scores = uneven(1500, [0, 300, 370, 1200], 20)
    assert vus_pr(labels, scores, step=5) == pytest.approx(vus_pr(labels, scores), abs=5e-3)


def test_the_volume_refuses_and_says_why():
    for options in ({"most": -1}, {"levels": 1}, {"step": 0}):
        with pytest.raises(ParameterError, match="most must be >= 0, levels >= 2 and step >= 1"):
            vus_pr([0, 1], [0, 1], **options)
    with pytest.raises(ParameterError, match="1 of 2 scores are NaN"):
        vus_pr([0, 1], [0, np.nan])
    with pytest.raises(ParameterError, match="both kinds, got 0 true of 2"):
        vus_pr([0, 0], [0, 1])
