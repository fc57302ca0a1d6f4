"""Which settings a scan tries: how ranges are typed, refused and drawn."""

from __future__ import annotations

import numpy as np
import pytest

from raravis.detector import Detector
from raravis.errors import ParameterError
from raravis.scanning.ranges import ByChance, Range, usual, value_at, with_values


def draws(seed=0):
    return ByChance(np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("text", "low", "high", "log", "choices"),
    [
        ("model.latent=4:64:log", 4, 64, True, ()),
        ("training.learning_rate=1e-4:1e-2:log", 1e-4, 1e-2, True, ()),
        ("source.window_s=0.5:2", 0.5, 2, False, ()),
        (" features.mels = 32, 64,128 ", 0, 0, False, (32, 64, 128)),
        ("scorer.name=knn,rarity", 0, 0, False, ("knn", "rarity")),
        ("features.hz=500:2000,2000:8000", 0, 0, False, ("500:2000", "2000:8000")),
        ("model.unet=true,false", 0, 0, False, (True, False)),
    ],
)
def test_ranges_are_read_as_they_are_typed(text, low, high, log, choices):
    assert Range.parse(text) == Range(text.split("=")[0].strip(), low, high, log, choices)


def test_a_range_reads_what_it_writes():
    for text in ("model.latent=4:64:log", "source.window_s=0.5:2", "features.mels=32,64"):
        assert Range.parse(str(Range.parse(text))) == Range.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model.latent", "expected SETTING=VALUES, such as model.latent=4:64:log"),
        ("model.latent=8", "expected SETTING=VALUES"),
        ("model.latent=4:64:linear", "expected SETTING=VALUES"),
        ("model.latent=few:many", "expected SETTING=VALUES"),
        ("model.latent=4:inf", "expected SETTING=VALUES"),
        ("model..latent=4:8", "expected SETTING=VALUES"),
        ("model.latent=64:4", "needs a lower end and a higher one, got 64 and 4"),
        ("model.latent=0:4:log", "needs a lower end above 0 and a higher one, got 0 and 4"),
        ("features.mels=64,64", "needs at least two different values to choose from, got 64, 64"),
        ("source.between=a,b", r"source\.between says what the recordings are"),
        ("seed=0:5", "seed says what the recordings are and cannot be searched"),
    ],
)
def test_what_is_no_range_is_refused_with_what_to_type(text, message):
    with pytest.raises(ParameterError, match=message):
        Range.parse(text)


def test_whole_ends_give_whole_numbers_within_them():
    drawn = [Range.parse("a=2:5").suggest(draws(seed)) for seed in range(200)]
    assert {type(value) for value in drawn} == {int} and set(drawn) == {2, 3, 4, 5}
    assert type(Range.parse("a=2.0:5").suggest(draws())) is float


def test_orders_of_magnitude_are_drawn_alike():
    rng = draws()
    drawn = np.array([Range.parse("a=1e-4:1e-2:log").suggest(rng) for _ in range(400)])
    assert drawn.min() >= 1e-4 and drawn.max() <= 1e-2
    assert 0.4 < (drawn < 1e-3).mean() < 0.6


def test_values_find_their_place_and_leave_the_rest():
    config = {"model": "conv-ae", "source": {"hop_s": 0.5}}
    made = with_values(config, {"model.latent": 8, "source.window_s": 2.0})
    assert made == {
        "model": {"name": "conv-ae", "latent": 8},
        "source": {"hop_s": 0.5, "window_s": 2.0},
    }
    assert config == {"model": "conv-ae", "source": {"hop_s": 0.5}}
    assert value_at(made, "model.latent") == 8 and value_at(made, "model.depth") is None
    assert value_at({"model": [{"window": 3}, {"window": 5}]}, "model.window") == 3


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "sound"},
        {"kind": "sound", "scorer": "knn"},
        {"kind": "sound", "model": "conv-ae"},
        {"kind": "series"},
        {"kind": "series", "model": "window-pca"},
        {"kind": "series", "model": "lstm-ae"},
    ],
)
def test_the_usual_ranges_of_a_model_are_settings_that_it_has(config):
    for one in usual(config["kind"], Detector.from_config(config).config):
        for seed in range(5):
            value = one.suggest(draws(seed))
            values = {"model.name": "knn"} if config == {"kind": "series"} else {}
            made = Detector.from_config(with_values(config, values | {one.setting: value})).config
            assert value_at(made, one.setting) == value


def test_networks_are_searched_for_what_training_needs():
    settings = {one.setting for one in usual("sound", Detector(model="conv-ae").config)}
    assert settings == {
        "training.learning_rate", "training.weight_decay", "training.batch", "model.latent",
        "source.window_s", "features.mels",
    }  # fmt: skip


def test_several_models_have_no_usual_ranges():
    config = Detector(model="window-pca,knn", kind="series").config
    with pytest.raises(ParameterError, match="no usual ranges for this model: say what is to be"):
        usual("series", config)
