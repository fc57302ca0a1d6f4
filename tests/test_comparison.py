"""Comparing models: who is taught what, what is measured, and what is said of the differences."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from typer.testing import CliRunner

from raravis import metrics
from raravis.cli import app
from raravis.cli.comparing import parse_split
from raravis.comparison import figures, words
from raravis.comparison.contest import Contest, Difference, Line, compare
from raravis.comparison.measures import NAMES, measure, reaches_target
from raravis.comparison.noise import block_interval, t_interval
from raravis.comparison.page import page
from raravis.comparison.parts import TEST, TRAIN, VALIDATION, divide
from raravis.comparison.saving import as_json, check_free, write
from raravis.comparison.trials import Lesson, Trial, View, teach
from raravis.detector import Detector
from raravis.errors import DataError, NothingToRead, ParameterError, RecordingError, RunError
from raravis.row_networks import RowNetwork, RowWindows
from raravis.series.rows import Series
from raravis.series.synthesis import plant
from raravis.series.synthesis import write_csv as write_plant
from raravis.sources import RowBlock, RowSource
from raravis.sources.series import SeriesSource
from raravis.windows import Recording, Windows
from real_data import real_data

CHANNELS = ("temperature", "pressure", "flow")
FAULTS = (430, 470), (520, 560)  # rows; 600 in all
MARGIN = {"name": "margin"}


class Held(RowSource):
    """Series held in memory, as a source."""

    windows = Windows.of(0, [], [])

    def __init__(self, *series: Series, learn_until: int | None = None, broken: int = -1):
        self.series, self.broken = series, broken
        self.channels, self.interval_s = series[0].channels, 1.0
        self.rows = [len(one) for one in series]
        self.learn_until = [learn_until] * len(series)
        self.recordings = [
            Recording(f"{i}.csv", f"{i}.csv", len(one), 1.0) for i, one in enumerate(series)
        ]
        self.skipped, self.remarks = [], []

    def __getitem__(self, index: int) -> np.ndarray:
        return self.series[0].values[index]

    def read(self, recording: int, first_row: int, stop_row: int) -> Series:
        if recording == self.broken:
            raise RecordingError(f"{recording}.csv", "it ends too early")
        return self.series[recording][first_row:stop_row]

    def blocks(self, recording, from_s=0.0, length=1, context=0):
        yield RowBlock(recording, 0, 0, self.series[recording], float(self.rows[recording]))


def rows(count: int = 600, seed: int = 0, labelled: bool = True) -> Series:
    """Three channels that follow one slow wave; in a fault the flow no longer does."""
    random = np.random.default_rng(seed)
    wave = np.sin(np.arange(count) / 9)
    values = wave[:, None] * [1.0, -2.0, 0.5] + 0.1 * random.standard_normal((count, 3))
    labels = np.zeros(count, dtype=bool)
    for first, stop in FAULTS:
        labels[first:stop] = True
        values[first:stop, 2] = -1.5 * values[first:stop, 2]
    return Series(values, np.arange(count, dtype=float), CHANNELS, labels if labelled else None)


def quick(**options) -> Contest:
    """A contest that is soon over."""
    given = {"models": ("pca", "dense-ae"), "seeds": 2, "training": {"max_steps": 30}, "rounds": 20}
    return Contest(**{**given, **options})


@pytest.fixture(scope="module")
def compared():
    """Three models with two seeds each, and baselines."""
    models = ("window-pca", "dense-ae", "default")
    return compare(Held(rows()), quick(models=models, split=(50, 15, 35)))


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
    lesson = Lesson(name, [{"name": name}], MARGIN, {"max_steps": 5})
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
    lesson = Lesson("dense-ae", [{"name": "dense-ae", "window": 8}], MARGIN, {"max_steps": 20})
    trial = teach(data, lesson, seed=1)
    network = RowNetwork({"name": "dense-ae"}, 3, window=8, training={"max_steps": 20}, seed=1)
    view = View(data, network.context, MARGIN)
    network.fit(view.lesson())
    windows = RowWindows(view.lesson(), 8, most=10_000)
    with torch.inference_mode():
        loss = network.network_.network.loss(torch.from_numpy(windows[:]))
    assert trial.loss["train"] == pytest.approx(float(loss), rel=1e-4)
    assert trial.numbers > sum(p.numel() for p in network.network_.network.parameters())


def test_a_watched_network_is_the_same_and_shows_its_way():
    data = divide(Held(rows()), (50, 15, 35))
    lesson = Lesson("dense-ae", [{"name": "dense-ae"}], MARGIN, {"max_steps": 8, "batch": 64})
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


# --- the contest ---------------------------------------------------------------------------------


def test_baselines_have_the_values_that_they_must_have(compared):
    never, always = (
        next(line.means for line in compared.lines if line.name == name)
        for name in ("always normal", "always anomalous")
    )
    mostly = next(line for line in compared.lines if line.name == "majority")
    assert never["balanced_accuracy"] == always["balanced_accuracy"] == 0.5
    assert never["auroc"] == 0.5 and never["auprc"] == pytest.approx(80 / 210)
    assert (never["recall"], always["recall"]) == (0, 1)
    assert mostly.means["accuracy_test"] == mostly.means["majority"] == pytest.approx(130 / 210)
    assert mostly.reaches_target is False


def test_a_broken_correlation_is_found_where_rows_are_seen_together(compared):
    found = next(line for line in compared.models if line.name == "window-pca").means
    assert found["auroc"] > 0.9 and found["event_recall"] == 1
    assert found["balanced_accuracy"] > 0.6


def test_every_line_has_all_measures_of_every_seed(compared):
    assert [line.name for line in compared.models] == ["window-pca", "dense-ae", "default"]
    for line in compared.models:
        assert len(line.found) == 2
        assert set(NAMES) - {"delay_s"} <= set(line.means)
    first, second = next(line for line in compared.models if line.name == "dense-ae").found
    assert first["loss_test"] != second["loss_test"]


def test_differences_are_paired_with_the_best_of_each_measure(compared):
    for difference in compared.differences:
        best = compared.best(difference.measure)
        assert difference.best == best.name != difference.model
        other = next(line for line in compared.models if line.name == difference.model)
        apart = best.means[difference.measure] - other.means[difference.measure]
        assert difference.by == pytest.approx(apart) and difference.by >= 0
    assert len(compared.differences) == 3 * 2


def test_the_seed_that_is_kept_is_chosen_without_labels(compared):
    for line in compared.models:
        losses = [trial.loss["validation"] for trial in line.trials]
        assert line.kept is line.trials[int(np.argmin(losses))]


def test_the_same_contest_gives_the_same_numbers():
    first, second = (compare(Held(rows()), quick(seeds=1)).table() for _ in range(2))
    pd.testing.assert_frame_equal(first.drop(columns="fit_s"), second.drop(columns="fit_s"))


def test_without_labels_losses_and_agreement_are_told():
    comparison = compare(Held(rows(labelled=False)), quick(models=("pca", "knn")))
    assert [line.name for line in comparison.lines] == ["pca", "knn"]
    assert set(comparison.lines[0].means) == {
        "alarms_test", "loss_train", "loss_validation", "loss_test", "fit_s", "numbers",
    }  # fmt: skip
    assert comparison.differences == [] and comparison.best("auroc") is None
    assert comparison.agreement.loc["pca", "knn"] > 0.2
    assert words.conclusions(comparison)[0].startswith("Nothing is labelled")
    assert "labelled rows" not in page(comparison).split("<section>")[1]


def test_a_test_part_of_one_kind_still_tells_accuracy():
    comparison = compare(Held(rows()), quick(models=("pca",), split=(60, 34, 6)))
    assert comparison.lines[0].means["accuracy_test"] > 0.9
    assert "auroc" not in comparison.lines[0].means
    assert "The test part holds 0 labelled rows of 36" in words.conclusions(comparison)[0]
    assert figures.curves(comparison) is None and page(comparison)


def test_each_recording_may_have_models_of_its_own(tmp_path):
    # What is 20 in one recording is 0 in the other: one model for both learns neither well.
    first, second = rows(seed=0), rows(seed=1)
    moved = Series(second.values[:, ::-1] * 3 + 20, second.time_s, CHANNELS, second.labels)
    options = {"models": ("window-pca",), "split": (50, 15, 35), "seeds": 1}
    both = compare(Held(first, moved), quick(**options))
    each = compare(Held(first, moved), quick(**options, each=True))
    alone = [compare(Held(one), quick(**options)) for one in (first, moved)]
    scores = each.lines[0].trials[0].scores
    for single, own in zip(alone, (scores[:600], scores[600:]), strict=True):
        trial = single.lines[0].trials[0]
        np.testing.assert_allclose(own, trial.scores / trial.level)
        np.testing.assert_array_equal(own > 1, trial.alarms)
    assert each.lines[0].means["auroc"] > both.lines[0].means["auroc"]
    numbers = [single.lines[0].means["numbers"] for single in alone]
    assert each.lines[0].means["numbers"] == sum(numbers)
    write(each, tmp_path)
    assert (tmp_path / "window-pca" / "1.csv" / "model.safetensors").exists()
    with pytest.raises(DataError, match=r"of the 60 rows of 1\.csv 9 ordinary ones are left"):
        compare(Held(first, rows(60)), quick(**options, each=True))


def test_a_window_is_given_to_those_that_have_one():
    contest = quick(models=("pca", "dense-ae", "knn"), window=6, options={"knn": {"k": 2}})
    assert contest.lesson("pca", 3).members == [{"name": "pca"}]
    assert contest.lesson("dense-ae", 3).members == [{"window": 6, "name": "dense-ae"}]
    assert contest.lesson("knn", 3).members == [{"window": 6, "k": 2, "name": "knn"}]
    own = quick(options={"dense-ae": {"window": 9}}, window=6)
    assert own.lesson("dense-ae", 3).members == [{"window": 9, "name": "dense-ae"}]


def test_the_contest_refuses_and_says_why():
    with pytest.raises(
        ParameterError, match=r"unknown model 'lstm': choose among .*lstm-ae.*default"
    ):
        Contest(["pca", "lstm"])
    with pytest.raises(ParameterError, match="unknown model 'conv-ae-of-sound'"):
        Contest(options={"conv-ae-of-sound": {}})
    with pytest.raises(ParameterError, match="each once, got pca, pca"):
        Contest(["pca", "pca"])
    with pytest.raises(ParameterError, match="each once, got none"):
        Contest([])
    with pytest.raises(ParameterError, match="seeds must be >= 1, got 0"):
        Contest(seeds=0)
    with pytest.raises(ParameterError, match="unknown threshold 'most'"):
        Contest(threshold="most")
    with pytest.raises(ParameterError, match="threshold 'margin' has no setting 'p'"):
        Contest(threshold={"name": "margin", "p": 0.1})
    with pytest.raises(ParameterError, match="training has no setting 'epoch'"):
        Contest(training={"epoch": 3})
    with pytest.raises(DataError, match="needs stretches of at least"):
        compare(Held(rows()), quick(models=("window-pca",), window=400))


# --- words, page, folder -------------------------------------------------------------------------


def test_numbers_are_written_as_short_as_they_may_be():
    assert [words.number(v) for v in (0.1234, 0, 12.34, 1234.5, 0.00012)] == [
        "0.123", "0.000", "12.3", "1,234", "0.0001",
    ]  # fmt: skip
    assert words.listed(["a", "b", "c"]) == "a, b and c" and words.listed(["a"]) == "a"
    assert words.listed([]) == ""


def test_a_cell_says_mean_and_interval(compared):
    line = next(line for line in compared.models if line.name == "dense-ae")
    low, high = t_interval(line.values("loss_test"))
    mean, reach = words.cell(line, "loss_test").split(" ± ")
    assert mean == words.number((low + high) / 2) and reach == words.number((high - low) / 2)
    assert "±" not in words.cell(compared.lines[-1], "auroc")
    assert words.cell(compared.lines[-1], "loss_test") == "–"


def test_the_conclusions_name_the_best_and_the_target(compared):
    said = words.conclusions(compared)[0]
    best = compared.best("balanced_accuracy")
    assert said.startswith(f"{best.name} has the highest balanced accuracy")
    assert "above the majority rate of 0.619" in said


def told(name: str, *balanced: float) -> Line:
    """A line of which only the balanced accuracy of each seed matters."""
    found = [{"balanced_accuracy": b, "accuracy_test": 0.9, "majority": 0.7} for b in balanced]
    return Line(name, [], found)


def test_a_target_reached_by_the_mean_alone_is_not_sure(compared):
    lines = [told("a", 0.9, 0.91), told("b", 0.75, 0.95), told("c", 0.7, 0.71), told("d", 0.85)]
    comparison = dataclasses.replace(compared, lines=lines, differences=[])
    headings, table = words.tables(comparison)["How well each finds what is labelled"]
    assert headings[-1] == "target"
    assert [row[-1] for row in table] == ["reached", "unsure", "no", "reached"]
    said = words.conclusions(comparison)[0]
    assert "is reached by a and d, and on average but not for sure by b." in said


def test_a_level_of_nothing_leaves_scores_finite_and_alarms_alike():
    trial = Trial("mine", 0, np.array([0.0, 0.5, np.nan]), np.array([False, True, False]), 0.0)
    np.testing.assert_array_equal(trial.relative > 1, trial.alarms)


def test_wide_tables_are_cut_for_narrow_terminals(compared):
    parts = list(words.narrow_tables(compared, most=5))
    whole = words.tables(compared)
    assert [title for title, *_ in parts if title] == list(whole)
    for headings, rows in whole.values():
        measures = [heading for _, some, _ in parts for heading in some[1:]]
        assert set(headings[1:]) <= set(measures) and len(rows) == len(compared.lines)
    assert all(len(headings) <= 6 for _, headings, _ in parts)
    assert all(row[0] == line.name for _, _, rows in parts
               for row, line in zip(rows, compared.lines, strict=True))  # fmt: skip


def test_the_page_needs_nothing_beside_it(compared):
    html = page(compared)
    assert not re.findall(r'(?:src|href)="(?!data:)', html)
    assert html.count("<img") == html.count('src="data:image/svg+xml;base64,') == 4
    for line in compared.lines:
        assert f"<th>{line.name}</th>" in html
    for heading in ("Which differences are noise", "What was said, and what was so"):
        assert heading in html


def test_the_page_escapes_what_the_user_named(compared):
    compared.data.names[0] = "<b>.csv"
    try:
        assert "Which model for &lt;b&gt;.csv?" in page(compared)
    finally:
        compared.data.names[0] = "0.csv"


def test_the_folder_holds_tables_that_agree(compared, tmp_path):
    html = write(compared, tmp_path / "out")
    table = pd.read_csv(html.with_name("comparison.csv"))
    each = pd.read_csv(html.with_name("trials.csv"))
    assert list(table.model[:3]) == ["window-pca", "dense-ae", "default"]
    means = each[each.model == "dense-ae"].auroc.mean()
    assert table.loc[1, "auroc"] == pytest.approx(means)
    assert table.loc[1, "auroc_low"] <= means <= table.loc[1, "auroc_high"]
    assert 'name = "margin"' not in html.with_name("comparison.toml").read_text()
    assert 'threshold = "margin"' in html.with_name("comparison.toml").read_text()
    json.dumps(as_json(compared))
    with pytest.raises(RunError, match="holds a comparison already: choose another --out"):
        check_free(html.parent, overwrite=False)
    check_free(html.parent, overwrite=True)
    check_free(tmp_path / "new", overwrite=False)


def test_a_saved_model_says_of_a_file_what_it_said_in_the_comparison(tmp_path):
    series, _ = plant()
    write_plant(tmp_path / "plant.csv", series)
    source = SeriesSource(tmp_path / "plant.csv")
    comparison = compare(source, quick(models=("dense-ae", "default"), split=(45, 15, 40)))
    write(comparison, tmp_path / "out")
    for line in comparison.models:
        detector = Detector.load(tmp_path / "out" / line.name)
        scores = detector.score(tmp_path / "plant.csv").score.to_numpy()
        np.testing.assert_allclose(scores, line.kept.scores, rtol=1e-5, atol=1e-6)
        assert detector.sense.level == pytest.approx(line.kept.level)


# --- the command line ----------------------------------------------------------------------------


def ask(*arguments):
    return CliRunner().invoke(app, ["compare", *map(str, arguments)], catch_exceptions=True)


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("series") / "plant.csv"
    frame = pd.DataFrame(rows().values, columns=list(CHANNELS))
    frame["anomaly"] = rows().labels.astype(int)
    frame.to_csv(path, index=False)
    return path


def test_compare_explains_itself_with_an_example():
    assert "Example: raravis compare" in " ".join(ask("--help").stdout.split())


def test_compare_writes_a_page_and_prints_what_it_found(csv, tmp_path):
    quickly = ("--models", "pca,dense-ae", "--seeds", 2, "--epochs", 2, "--split", "50:15:35")
    done = ask(csv, *quickly, "--out", tmp_path / "out", "--set", "threshold.q=1.5")
    assert done.exit_code == 0, done.output
    assert "balanced accuracy" in " ".join(done.stdout.split())
    assert "has the highest balanced accuracy" in " ".join(done.stdout.split())
    assert (tmp_path / "out" / "dense-ae" / "model.safetensors").exists()
    again = ask(csv, *quickly, "--out", tmp_path / "out")
    assert "holds a comparison already" in str(again.exception)
    done = ask(csv, *quickly, "--out", tmp_path / "out", "--overwrite", "--json")
    told = json.loads(done.stdout)
    assert {row["model"] for row in told["models"]} >= {"pca", "dense-ae", "random", "majority"}
    assert told["rows"] == {"train": 300, "validation": 90, "test": 210}


def test_compare_needs_no_labels(tmp_path):
    frame = pd.DataFrame(rows().values, columns=list(CHANNELS))
    frame.to_csv(tmp_path / "plain.csv", index=False)
    done = ask(tmp_path / "plain.csv", "--models", "pca,knn", "--seeds", 1, "--out", tmp_path / "o")
    assert done.exit_code == 0, done.output
    assert "Nothing is labelled" in done.stdout and "balanced" not in done.stdout
    assert "How far they agree" in (tmp_path / "o" / "comparison.html").read_text()


def test_compare_refuses_before_it_reads_anything(tmp_path):
    assert "choose among" in str(ask(tmp_path, "--models", "pca,mine").exception)
    assert "got 'half'" in str(ask(tmp_path, "--split", "half").exception)
    assert "no series to read" in str(ask(tmp_path, "--models", "pca").exception)


@pytest.mark.slow
def test_compare_on_a_pump_with_real_faults(tmp_path):
    files = [real_data() / "skab" / "valve1" / f"{i}.csv.gz" for i in (1, 2)]
    contest = Contest(("default", "pca"), seeds=1, split=(30, 7, 63), rounds=50)
    comparison = compare(SeriesSource(files), contest)
    assert comparison.data.channels[0] == "Accelerometer1RMS"
    assert comparison.best("auroc").means["auroc"] > 0.6
