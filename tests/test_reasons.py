"""Reasons in plain words: each is said where it is true, and only there."""

import numpy as np
import pytest

from raravis.explain.reasons import (
    NEWS,
    Companion,
    Course,
    goes_with,
    joined,
    labels_said,
    models_said,
    news_said,
    percent,
    shares_said,
    what_it_did,
)
from raravis.novelty import FAMILIES

RNG = np.random.default_rng(0)
BEFORE = 10 + RNG.normal(size=3600).clip(-3, 3)  # an hour, within 7 and 13


def said(during, before=BEFORE, low=8.0, high=12.0, companion=None):
    during = np.asarray(during, dtype=float)
    return what_it_did(Course("flow", during, before, 3600.0, low, high, companion))


def test_above_and_below_everything_before():
    assert said([11, 15.25, 12]) == (
        f"flow rose to 15.25, above everything in the 1 h before (at most {BEFORE.max():.3g})."
    )
    assert said([11, 2.5, 12]).startswith("flow fell to 2.5, below everything in the 1 h before")
    assert said([2.5, 15.25]) == (
        "flow swung between 2.5 and 15.25, beyond everything in the 1 h before."
    )


def test_stood_still_longer_than_ever():
    still = said(np.r_[11.0, np.full(20, 9.5), 11.0])
    assert still == "flow stood still at 9.5 for 20 rows, which it never did before."


def test_a_channel_that_often_stands_still_is_not_said_to_stand_still():
    steps = np.repeat(RNG.integers(0, 9, 60).astype(float), 30)
    assert "stood still" not in said(np.full(20, 4.0), steps, 0.0, 8.0)
    longer = said(np.full(200, 4.0), steps, 0.0, 8.0)
    assert longer.startswith("flow stood still at 4 for 200 rows, at most ")


def test_a_short_rest_within_a_long_event_is_not_worth_a_word():
    assert "stood still" not in said(np.r_[BEFORE[:100], np.full(10, 9.5)])


def test_the_largest_step_within_the_range():
    before = 10 + np.sin(np.arange(3600) / 300) * 3
    assert said([8.0, 12.0], before) == (
        f"flow went from {8:g} to {12:g} at once, its largest step in 1 h."
    )


def test_moved_more_or_less_from_row_to_row():
    calm = 10 + 2 * np.sin(np.arange(40) / 40)
    assert said(calm).startswith("flow hardly moved: ")
    slow = 10 + np.cumsum(RNG.normal(size=2000)) * 0.05
    slow[::400] += 1.0  # a step as large as any
    restless = np.mean(slow[-200:]) + 0.1 * (-1.0) ** np.arange(60)
    assert "times as far from row to row as before" in said(restless, slow)


def test_outside_and_inside_its_ordinary_range():
    before = np.r_[np.full(30, 20.0), BEFORE, np.full(30, 2.0), BEFORE]
    above = said([12.5, 12.6, 12.4], before)
    assert above == "flow lay between 12.4 and 12.6, mostly above its ordinary range of 8 to 12."
    assert said([10.0, 11.0], before) == (
        "flow lay between 10 and 11, within its ordinary range of 8 to 12: "
        "how it came there is unusual."
    )
    assert "mostly within its ordinary range" in said([10.0, 10.1, 12.4], before)


def test_without_much_before_only_the_ordinary_range_counts():
    assert said([15.0], BEFORE[:5]).startswith("flow was 15, mostly above its ordinary range")


def test_where_nothing_was_learned_no_range_is_named():
    text = said([10.0, 10.5], BEFORE, np.nan, np.nan)
    assert text == (
        "flow lay between 10 and 10.5, not beyond what was before: how it came there is unusual."
    )


def test_missing_values_are_left_out_and_said_where_there_is_nothing_else():
    assert said([np.nan, np.nan]) == "flow has no values there."
    assert said([np.nan, 15.0]).startswith("flow rose to 15")


def test_moved_apart_from_the_channel_with_which_it_went():
    load = RNG.uniform(0, 10, 3600)
    before = 2 * load + RNG.normal(size=3600) * 0.1
    apart = said([14.0, 14.2], before, 0, 20, Companion("load", np.array([5.0, 5.1]), load))
    assert apart == (
        "flow moved apart from load, with which it went before: "
        "it was 4 higher than that lets expect."
    )
    together = said([10.0, 10.2], before, 0, 20, Companion("load", np.array([5.0, 5.1]), load))
    assert "apart" not in together


def test_goes_with_is_the_strongest_correlation():
    load = RNG.normal(size=500)
    values = np.column_stack([load, RNG.normal(size=500), 0.6 * RNG.normal(size=500) - 3 * load,
                              load + 0.1 * RNG.normal(size=500), np.full(500, 3.0)])  # fmt: skip
    correlation = np.abs(np.corrcoef(values[:, :4].T)) - np.eye(4)
    for channel in (0, 2, 3):
        assert goes_with(values, channel) == correlation[channel].argmax()
    assert goes_with(values, 1) is None
    assert goes_with(values, 4) is None
    values[::3, 3] = np.nan
    assert goes_with(values, 0) == 3
    values[:, 0] = np.nan
    assert goes_with(values, 0) is None


def test_shares_in_words():
    shares, names = np.array([0.08, 0.72, 0.2]), ["a", "b", "c"]
    assert shares_said(shares, names, [1, 2, 0]) == (
        "72% of the score is from b, 20% from c and 8% from a."
    )
    spread = shares_said(np.full(38, 1 / 38), [f"x{k}" for k in range(38)], [4])
    assert spread == "Many of the 38 channels take part: 3% of the score is from x4."


@pytest.mark.parametrize(
    ("alarmed", "words"),
    [
        ({"pca": True, "knn": True}, "All 2 models raise the alarm, each on its own."),
        ({"pca": False, "knn": True}, "1 of 2 models raises the alarm alone: knn."),
        ({"a": True, "b": True, "c": False}, "2 of 3 models raise the alarm alone: a and b."),
        (
            {"pca": False, "knn": False},
            "None of the 2 models raises the alarm alone; together they do.",
        ),
    ],
)
def test_models_in_words(alarmed, words):
    assert models_said(alarmed) == words


def test_labels_in_words():
    assert labels_said(np.zeros(4, bool)) == "The labels in the file call none of it anomalous."
    assert labels_said(np.arange(4) < 3) == "The labels in the file call 75% of it anomalous."


def test_a_hundred_percent_is_all_of_it():
    assert [percent(share) for share in (1.0, 0.999, 0.5, 0.001, 0.0)] == [
        "100%", "99%", "50%", "1%", "0%",
    ]  # fmt: skip
    assert [joined(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == [
        "a", "a and b", "a, b and c",
    ]  # fmt: skip


def test_what_a_chain_found_new_is_said_the_largest_first():
    assert set(NEWS) == set(FAMILIES)
    news = {"value": 1.0, "squeezed": 0.0, "calendar": 3.0, "level": 0.0, "activity": 0.0}
    assert news_said(news) == (
        "What is new is the value at this hour of the day or the week (75%) and the value "
        "itself (25%)."
    )
    assert news_said(dict.fromkeys(news, 0.0)) == "Nothing in it is new by itself."
