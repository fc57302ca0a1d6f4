"""Settings find their way from the command line and TOML files to constructors."""

import pytest

from raravis.configuration import complete, merge, parse_settings, read_toml
from raravis.errors import ParameterError


def test_settings_become_nested_tables_with_toml_values():
    settings = ["scorer.k=5", "scorer.rescale=true", "model.name=conv-ae", "features.hz=2000:8000"]
    assert parse_settings(settings) == {
        "scorer": {"k": 5, "rescale": True},
        "model": {"name": "conv-ae"},
        "features": {"hz": "2000:8000"},
    }


def test_a_later_setting_wins():
    assert parse_settings(["seed=1", "seed=2"]) == {"seed": 2}


@pytest.mark.parametrize("setting", ["scorer.k", "=5", "scorer..k=5"])
def test_a_malformed_setting_is_refused_with_an_example(setting):
    with pytest.raises(ParameterError, match=r"expected SECTION\.NAME=VALUE, such as scorer\.k=5"):
        parse_settings([setting])


def test_merging_goes_into_nested_tables_and_changes_neither():
    first, second = {"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 5}, "c": 6}
    assert merge(first, second) == {"a": {"x": 1, "y": 5}, "b": 3, "c": 6}
    assert first == {"a": {"x": 1, "y": 2}, "b": 3}


def test_defaults_come_from_the_signature_and_none_is_left_out():
    def target(k: int = 5, path: str | None = None, name: str = "x") -> None: ...

    assert complete(target, {"name": "y"}, "target") == {"k": 5, "name": "y"}


def test_an_unknown_key_is_answered_with_the_known_ones():
    def target(k: int = 5, rescale: bool = True) -> None: ...

    with pytest.raises(ParameterError, match="scorer has no setting 'kk': it has k, rescale"):
        complete(target, {"kk": 1}, "scorer")


def test_a_missing_or_malformed_file_is_refused_by_name(tmp_path):
    with pytest.raises(ParameterError, match=r"cannot read the configuration .*run\.toml"):
        read_toml(tmp_path / "run.toml")
    (tmp_path / "run.toml").write_text("seed = = 3")
    with pytest.raises(ParameterError, match=r"run\.toml is not valid TOML"):
        read_toml(tmp_path / "run.toml")
