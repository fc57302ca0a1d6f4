"""The folder is the list: what lies in a package and carries the decorator can be made by name.

`models`, `sources` and `scorers` each hold one `Registry`. A new member is one file in the folder
with `@register("its-name")` above the class; nothing else has to be told.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from raravis.errors import ParameterError

T = TypeVar("T")
Class = TypeVar("Class", bound=type)


class Registry(Generic[T]):
    """Classes of one kind by name, collected from every module of one package.

    kind     what a member is called in messages, such as "scorer".
    package  dotted name of the package whose modules register members when imported.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._classes: dict[str, Callable[..., T]] = {}

    def register(self, name: str) -> Callable[[Class], Class]:
        """Decorator that makes a class available as `create(name)`."""

        def remember(cls: Class) -> Class:
            if name in self._classes:
                raise ParameterError(f"two {self.kind}s are called {name!r}: rename one of them")
            self._classes[name] = cls
            cls.registered_name = name  # type: ignore[attr-defined]
            return cls

        return remember

    def names(self) -> list[str]:
        """All registered names, sorted; imports every module of the package to find them.

        Where `package` is a single module, its members are those that it defines itself.
        """
        folders = getattr(importlib.import_module(self.package), "__path__", [])
        for module in pkgutil.iter_modules(folders):
            importlib.import_module(f"{self.package}.{module.name}")
        return sorted(self._classes)

    def get(self, name: str) -> Callable[..., T]:
        """The class registered as `name`. Raises ParameterError with the known names."""
        if name not in self._classes and name not in self.names():
            raise ParameterError(
                f"unknown {self.kind} {name!r}: choose one of {', '.join(self.names())}"
            )
        return self._classes[name]

    def create(self, name: str, **options: Any) -> T:
        """Builds member `name`; its constructor's signature is the schema of `options`."""
        cls = self.get(name)
        check_options(cls, options, f"{self.kind} {name!r}")
        return cls(**options)


def parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keyword parameters that `target` takes, by name."""
    found = inspect.signature(target).parameters
    return {name: p for name, p in found.items() if p.kind is not inspect.Parameter.VAR_KEYWORD}


def check_options(target: Callable[..., Any], options: dict[str, Any], what: str) -> None:
    """Raises ParameterError, with the known names, where `target` does not take an option."""
    known = parameters(target)
    for name in options:
        if name not in known:
            raise ParameterError(
                f"{what} has no setting {name!r}: it has {', '.join(known) or 'none'}"
            )
