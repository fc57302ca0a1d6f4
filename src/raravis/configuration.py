"""Settings as nested tables: from `--config run.toml` and `--set scorer.k=5` to constructors.

There is no schema beside the constructors' signatures: `complete` reads the defaults from them,
and an unknown key is answered with the known ones.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from raravis.errors import ParameterError
from raravis.registry import check_options, parameters

Table = dict[str, Any]


def read_toml(path: Path) -> Table:
    """A TOML file as nested dicts. Raises ParameterError where it is missing or malformed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ParameterError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} is not valid TOML: {error}") from error


def parse_settings(settings: Iterable[str]) -> Table:
    """`["scorer.k=5", "model.name=conv-ae"]` as nested tables.

    A value is read as TOML (5, 0.2, true, [1, 2]); what is no TOML is a string.
    """
    table: Table = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        names = key.strip().split(".")
        if not equals or not all(names):
            raise ParameterError(
                f"expected SECTION.NAME=VALUE, such as scorer.k=5, got {setting!r}"
            )
        inner = _value(value.strip())
        for name in reversed(names):
            inner = {name: inner}
        table = merge(table, inner)
    return table


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> Table:
    """Nested tables, the second's values over the first's."""
    merged = dict(first)
    for name, value in second.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = merge(merged[name], value) if both else value
    return merged


def complete(target: Callable[..., Any], options: Mapping[str, Any], what: str) -> Table:
    """`options` with the defaults of `target`'s signature added; values of None are left out,
    since TOML knows none. Raises ParameterError for a name that `target` does not take."""
    check_options(target, dict(options), what)
    defaults = {
        name: parameter.default
        for name, parameter in parameters(target).items()
        if parameter.default is not inspect.Parameter.empty
    }
    return {k: v for k, v in {**defaults, **options}.items() if v is not None}


def differences(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Settings that differ, such as "features.mels 64 (here 32)"."""
    found: list[str] = []
    for name in sorted(there.keys() | here.keys()):
        was, becomes = there.get(name), here.get(name)
        if isinstance(was, Mapping) and isinstance(becomes, Mapping):
            found += differences(was, becomes, f"{prefix}{name}.")
        elif was != becomes:
            found.append(f"{prefix}{name} {was} (here {becomes})")
    return found
