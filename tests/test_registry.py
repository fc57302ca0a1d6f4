"""Things are made by name; a name or a setting that is unknown is answered with the known ones."""

import pytest

from raravis import models, scorers, sources, thresholds
from raravis.errors import ParameterError
from raravis.registry import Registry, check_options, parameters


@pytest.fixture
def registry():
    made = Registry("bird", "raravis.thresholds")  # a module: no files are searched

    @made.register("wren")
    class Wren:
        def __init__(self, weight_g=9.0, song="trill"):
            self.weight_g, self.song = weight_g, song

    @made.register("auk")
    class Auk:
        pass

    return made


def test_makes_what_was_registered_with_its_settings(registry):
    wren = registry.create("wren", weight_g=10)
    assert (wren.weight_g, wren.song) == (10, "trill")
    assert type(wren) is registry.get("wren")


def test_a_class_knows_the_name_it_was_registered_by(registry):
    assert registry.get("wren").registered_name == "wren"


def test_names_are_sorted(registry):
    assert registry.names() == ["auk", "wren"]


def test_an_unknown_name_is_answered_with_the_known(registry):
    with pytest.raises(ParameterError, match="unknown bird 'dodo': choose one of auk, wren"):
        registry.create("dodo")


def test_an_unknown_setting_is_answered_with_the_known(registry):
    with pytest.raises(ParameterError, match="'wren' has no setting 'age': it has weight_g, song"):
        registry.create("wren", age=3)
    with pytest.raises(ParameterError, match="'auk' has no setting 'age': it has none"):
        registry.create("auk", age=3)


def test_two_of_one_name_are_refused(registry):
    with pytest.raises(ParameterError, match="two birds are called 'auk': rename one of them"):
        registry.register("auk")(object)


def test_options_of_any_callable_can_be_checked():
    def sing(pitch_hz, *, loud=False, **rest): ...

    assert list(parameters(sing)) == ["pitch_hz", "loud"]
    check_options(sing, {"loud": True}, "song")
    with pytest.raises(ParameterError, match="song has no setting 'long': it has pitch_hz, loud"):
        check_options(sing, {"long": True}, "song")


@pytest.mark.parametrize(
    ("package", "members"),
    [
        (scorers, {"ensemble", "knn", "mahalanobis", "rarity", "reconstruction", "term"}),
        (sources, {"audio"}),
        (models, {"conv-ae"}),
        (thresholds, {"quantile", "rate", "tail"}),
    ],
)
def test_the_folder_is_the_list(package, members):
    assert members <= set(package.names())
    assert package.names() == sorted(package.names())
