"""Dividing rows, teaching a model once, measuring it, and how sure a figure is."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from held_rows import CHANNELS, Held, rows
from raravis import metrics
from raravis.cli.comparing import parse_split
from raravis.comparison.contest import Difference
from raravis.comparison.measures import NAMES, measure, reaches_target
from raravis.comparison.noise import block_interval, t_interval
from raravis.comparison.parts import TEST, TRAIN, VALIDATION, divide
from raravis.comparison.trials import Lesson, Trial, View, teach
from raravis.errors import DataError, NothingToRead, ParameterError
from raravis.row_networks import RowNetwork, RowWindows
from raravis.series.rows import Series

MARGIN = {"name": "margin"}

# --- which rows are what -------------------------------------------------------------------------


def test_every_recording_is_divided_by_time():
    data = divide(Held(rows(200), rows(600)), (70, 15, 15))
    expected = [*[TRAIN] * 140, *[VALIDATION] * 30, *[TEST] * 30]
    np.testing.assert_array_equal(data.part[:200], expected)
    np.testing.assert_array_equal(np.bincount(data.part[200:]), [420, 90, 90])
    np.testing.assert_array_equal(np.bincount(data.recording), [200, 600])


def test_rows_that_the_format_sets_apart_for_learning_are_train_and_validation():
    data = divide(Held(rows(), learn_until=340), (70, 15, 15))
    np.testing.assert_array_equal(np.bincount(data.part), [280, 60, 260])
    assert "1 of 1 recordings set rows apart for learning" in data.remarks[0]


def test_nobody_learns_from_labelled_rows_nor_over_a_break():
    series = rows()
    time_s = series.time_s + 1000.0 * (np.arange(600) >= 100)
    broken = Series(series.values, time_s, CHANNELS, series.labels)
    data = divide(Held(broken), (80, 10, 10))
    lengths = [len(stretch) for stretch in data.ordinary(TRAIN)]
    assert lengths == [100, 430 - 100, 480 - 470]
    np.testing.assert_array_equal(data.ordinary(TRAIN)[1], series.values[100:430])


def test_a_row_is_touched_by_a_labelled_one_as_long_as_it_looks_back():
    series = rows(90)
    labels = np.isin(np.arange(90), [3, 4, 20])
    data = divide(Held(Series(series.values, series.time_s, CHANNELS, labels)), (30, 30, 30))
    touched = np.flatnonzero(~data.untouched(2))
    np.testing.assert_array_equal(touched, [3, 4, 5, 6, 20, 21, 22])
    np.testing.assert_array_equal(data.untouched(0), ~labels)


def test_what_should_be_known_of_the_division_is_remarked():
    unlabelled = divide(Held(rows(labelled=False)), (70, 15, 15))
    assert unlabelled.remarks == [
        "nothing is labelled: only losses, alarms, sizes, times and agreement can be told"
    ]
    assert not unlabelled.is_labelled and not unlabelled.labels.any()
    one_kind = divide(Held(rows()), (60, 35, 5))
    assert "the test part holds 0 labelled rows of 30" in one_kind.remarks[0]
    assert "80 labelled rows of train and validation were left out" in one_kind.remarks[1]
    mixed = divide(Held(rows(), rows(labelled=False)), (50, 15, 35))
    assert "without labels, so all their rows count as ordinary: 1.csv" in mixed.remarks[0]


def test_a_recording_that_breaks_is_skipped_and_listed():
    source = Held(rows(), rows(), broken=0)
    assert divide(source).names == ["1.csv"]
    assert source.skipped[0].reason == "it ends too early"
    with pytest.raises(NothingToRead, match="none of the recordings could be read"):
        divide(Held(rows(), broken=0))


def test_the_division_refuses_and_says_why():
    with pytest.raises(ParameterError, match="three shares above 0, such as 70:15:15, got 70:30"):
        divide(Held(rows()), (70, 30))
    with pytest.raises(
        DataError, match=r"of the 60 rows of 0\.csv 9 ordinary ones are left for validation"
    ):
        divide(Held(rows(60)), (70, 15, 15))
    with pytest.raises(
        DataError, match=r"rows of 0\.csv 6 ones are left for test, where at least 20 are"
    ):
        divide(Held(rows()), (50, 49, 1))
    with pytest.raises(ParameterError, match="such as 70:15:15, got '70:x:15'"):
        parse_split("70:x:15")
    with pytest.raises(ParameterError, match=r"three shares above 0, .* got 70:0:30"):
        divide(Held(rows()), parse_split("70:0:30"))
    assert parse_split("70:12.5:15") == [70, 12.5, 15]


# --- one trial -----------------------------------------------------------------------------------


def changed(series: Series, first: int, stop: int) -> Series:
    values = series.values.copy()
    values[first:stop] = 50.0
    return Series(values, series.time_s, CHANNELS, series.labels)


@pytest.mark.parametrize("name", ["pca", "knn", "dense-ae"])
def test_what_comes_later_changes_neither_what_is_learned_nor_the_level(name):
    lesson = Lesson(name, [{"name": name}], MARGIN, {"max_steps": 5, "device": "cpu"})
    with_faults, without = rows(), changed(rows(), 420, 600)
    first, second = (
        teach(divide(Held(s), (50, 20, 30)), lesson, 0) for s in (with_faults, without)
    )
    assert first.level == second.level
    np.testing.assert_array_equal(first.scores[:420], second.scores[:420])
    for key, array in first.learned[0].items():
        np.testing.assert_array_equal(array, second.learned[0][key])


def test_labelled_rows_of_validation_set_no_level():
    lesson = Lesson("pca", [{"name": "pca", "smooth": 4}], MARGIN, {})
    quiet, loud = rows(), changed(rows(), 430, 470)  # within a labelled fault
    levels = [teach(divide(Held(s), (60, 25, 15)), lesson, 0).level for s in (quiet, loud)]
    assert levels[0] == levels[1]
    assert teach(divide(Held(changed(rows(), 400, 410)), (60, 25, 15)), lesson, 0).level > levels[0]


def test_the_loss_of_a_network_is_its_mean_squared_error():
    data = divide(Held(rows()), (50, 15, 35))
    lesson = Lesson(
        "dense-ae", [{"name": "dense-ae", "window": 8}], MARGIN, {"max_steps": 20, "device": "cpu"}
    )
    trial = teach(data, lesson, seed=1)
    network = RowNetwork(
        {"name": "dense-ae"}, 3, window=8, training={"max_steps": 20, "device": "cpu"}, seed=1
    )
    view = View(data, network.context, MARGIN)
    network.fit(view.lesson())
    windows = RowWindows(view.lesson(), 8, most=10_000)
    with torch.inference_mode():
        loss = network.network_.network.loss(torch.from_numpy(windows[:]))
    assert trial.loss["train"] == pytest.approx(float(loss), rel=1e-4)
    assert trial.numbers > sum(p.numel() for p in network.network_.network.parameters())


def test_a_watched_network_is_the_same_and_shows_its_way():
    data = divide(Held(rows()), (50, 15, 35))
    lesson = Lesson(
        "dense-ae", [{"name": "dense-ae"}], MARGIN, {"max_steps": 8, "batch": 64, "device": "cpu"}
    )
    watched, unseen = teach(data, lesson, 0, watched=True), teach(data, lesson, 0)
    np.testing.assert_array_equal(watched.scores, unseen.scores)
    assert unseen.curve.epoch == [] and watched.curve.epoch == [1, 2]
    assert (
        list(watched.curve.loss) == list(watched.curve.accuracy) == ["train", "validation", "test"]
    )
    assert watched.curve.loss["train"][-1] == pytest.approx(watched.loss["train"], rel=1e-5)
    assert watched.curve.loss["train"][0] > watched.curve.loss["train"][-1]


def test_rows_that_cannot_be_scored_are_nan_and_do_not_alarm():
    series = rows()
    values = series.values.copy()
    values[300] = np.nan
    data = divide(Held(Series(values, series.time_s, CHANNELS, series.labels)), (60, 15, 25))
    trial = teach(data, Lesson("knn", [{"name": "knn"}], MARGIN, {}), 0)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(trial.scores)), [*range(7), 300])
    assert not trial.alarms[300]


# --- what is measured ----------------------------------------------------------------------------


def test_measures_by_hand():
    # Test: rows 390 to 599, of which 80 are labelled, in two events. The first alarms in its 11th
    # row and for ten rows, the second never; one of the other 130 rows alarms.
    data = divide(Held(rows()), (50, 15, 35))
    alarms = np.isin(np.arange(600), [*range(440, 450), 400])
    trial = Trial("mine", 0, alarms.astype(float), alarms, 0.5)
    found = measure(data, trial, np.ones(600, dtype=bool))
    assert found["recall"] == pytest.approx(10 / 80) and found["miss_rate"] == pytest.approx(
        70 / 80
    )
    assert found["precision"] == pytest.approx(10 / 11)
    assert found["false_alarm_rate"] == pytest.approx(1 / 130)
    assert found["balanced_accuracy"] == pytest.approx((10 / 80 + 129 / 130) / 2)
    assert found["accuracy_test"] == pytest.approx(139 / 210)
    assert found["majority"] == pytest.approx(130 / 210)
    assert found["accuracy_train"] == 1 and found["alarms_test"] == pytest.approx(11 / 210)
    assert found["event_recall"] == 0.5 and found["delay_s"] == 10
    assert found["vus_pr"] == metrics.vus_pr(data.labels[390:], alarms[390:])
    assert "fit_s" not in found and set(found) <= set(NAMES)


def test_vus_pr_is_the_mean_over_recordings():
    data = divide(Held(rows(seed=0), rows(seed=1)), (50, 15, 35))
    scores = np.random.default_rng(0).random(1200)
    found = measure(data, Trial("mine", 0, scores, scores > 2, 2.0), np.ones(1200, dtype=bool))
    each = [metrics.vus_pr(data.labels[a:b], scores[a:b]) for a, b in ((390, 600), (990, 1200))]
    assert found["vus_pr"] == pytest.approx(np.mean(each))
    assert found["event_recall"] == 0 and "delay_s" not in found


def test_only_rows_that_all_could_score_are_measured():
    data = divide(Held(rows()), (50, 15, 35))
    alarms = np.arange(600) == 400
    judged = np.arange(600) != 400
    found = measure(data, Trial("mine", 0, alarms.astype(float), alarms, 0.5), judged)
    assert found["false_alarm_rate"] == 0 and found["majority"] == pytest.approx(129 / 209)


@pytest.mark.parametrize(
    ("balanced", "accuracy", "reached"),
    [(0.8, 0.97, True), (0.79, 0.97, False), (0.9, 0.96, False)],
)
def test_the_target_asks_for_balance_and_for_more_than_the_majority(balanced, accuracy, reached):
    means = {"balanced_accuracy": balanced, "accuracy_test": accuracy, "majority": 0.96}
    assert reaches_target(means) is reached
    assert reaches_target({"accuracy_test": 1.0, "majority": 0.5}) is None


# --- noise ---------------------------------------------------------------------------------------


def test_the_interval_over_seeds_is_students():
    values = [0.81, 0.79, 0.86, 0.8, 0.84]
    theirs = scipy.stats.t.interval(0.95, 4, np.mean(values), scipy.stats.sem(values))
    assert t_interval(values) == pytest.approx(theirs)
    assert t_interval([0.5]) is None
    assert t_interval([0.1, 0.1, 0.1]) == (0.1, 0.1)


def test_the_interval_over_seeds_covers_what_is_true():
    random = np.random.default_rng(0)
    intervals = [t_interval(random.normal(0.7, 0.1, 4).tolist()) for _ in range(400)]
    assert 370 <= sum(low <= 0.7 <= high for low, high in intervals) <= 390  # 380 expected


def test_the_interval_over_rows_tells_better_from_alike():
    labels = np.arange(2000) // 40 % 5 == 0  # 10 events of 40 rows
    random = np.random.default_rng(0)
    good, alike = (labels + random.normal(0, 0.5, 2000) for _ in range(2))
    bad = labels + random.normal(0, 5, 2000)
    assert block_interval(metrics.auroc, labels, [good], [good]) == (0, 0)
    low, high = block_interval(metrics.auroc, labels, [good], [bad])
    assert 0.2 < low < metrics.auroc(labels, good) - metrics.auroc(labels, bad) < high
    low, high = block_interval(metrics.auroc, labels, [good], [alike])
    assert low < 0 < high


def test_the_interval_over_rows_is_wider_where_neighbours_are_alike():
    # The same labels and scores, once as they come and once shuffled: blocks see that ten rows
    # that say the same are not ten observations.
    random = np.random.default_rng(3)
    labels = np.repeat(random.random(300) < 0.3, 10)
    scores = labels + np.repeat(random.normal(0, 1, 300), 10)
    others = labels + np.repeat(random.normal(0, 1, 300), 10)
    order = random.permutation(3000)
    low, high = block_interval(metrics.auroc, labels, [scores], [others])
    shuffled = block_interval(metrics.auroc, labels[order], [scores[order]], [others[order]])
    assert high - low > 2 * (shuffled[1] - shuffled[0])


def test_the_interval_over_rows_is_the_same_for_the_same_seed_and_none_without_events():
    labels = np.arange(400) % 40 < 9
    scores = [np.random.default_rng(i).random(400) for i in range(2)]
    same = [block_interval(metrics.auroc, labels, scores, [labels * 1.0], seed=3) for _ in range(2)]
    assert same[0] == same[1]
    assert block_interval(metrics.auroc, np.arange(400) == 399, scores, scores) is None
    with pytest.raises(ParameterError, match="rounds must be >= 1, got 0"):
        block_interval(metrics.auroc, labels, scores, scores, rounds=0)


@pytest.mark.parametrize(
    ("of_seeds", "of_rows", "noise"),
    [
        ((0.1, 0.2), (0.05, 0.3), False),
        ((-0.1, 0.2), (0.05, 0.3), True),
        ((0.1, 0.2), (-0.05, 0.3), True),
        (None, (0.05, 0.3), False),
        (None, None, True),
    ],
)
def test_a_difference_is_noise_where_an_interval_holds_0(of_seeds, of_rows, noise):
    assert Difference("auroc", "a", "b", 0.1, of_seeds, of_rows).is_noise is noise
