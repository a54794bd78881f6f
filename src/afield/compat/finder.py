"""Answers imports of published names, while nothing else would."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

from afield.compat.names import PUBLISHED, ROOTS, reason
from afield.errors import ConfigurationError

__all__ = ["find_spec", "install"]

_MARK: Final = "afield.compat"


def install() -> None:
    """From now on, in this process, imports of ``globus_compute_sdk`` and ``funcx`` are answered by Afield.

    Costs next to nothing: what a name stands for is imported when the name is. Installing twice is fine.

    :raises ConfigurationError: the real package is installed here, or was imported before
    """
    if any(isinstance(finder, _Answers) for finder in sys.meta_path):
        return
    for root, distribution in ROOTS.items():
        _refuse_beside(root, distribution)
    sys.meta_path.insert(0, _ANSWERS)


def find_spec(fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
    """The answer to one import; for a finder that is asked after all others, as those of workers are.

    :raises ModuleNotFoundError: Afield has no such module
    """
    return _ANSWERS.find_spec(fullname, path, target)


def _refuse_beside(root: str, distribution: str) -> None:
    there = sys.modules.get(root)
    # A folder of that name without code, as uninstalling leaves behind, has no origin.
    spec = there.__spec__ if there is not None else PathFinder.find_spec(root)
    if spec is None or spec.origin in {None, _MARK}:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        found = f"a package {root}"
    raise ConfigurationError(
        f"{found} is installed here ({spec.origin}), and answering for it beside it would mix the two: use an "
        f"environment without it (pip uninstall {distribution}), or write afield instead of {root} in the imports"
    )


class _Answers(MetaPathFinder, Loader):
    """Makes the modules of the table, each of which knows its names and where they are.

    All of them are packages, so that Python asks here for a name that a module does not know
    (``from globus_compute_sdk import Nobody``), and the answer can say more than "cannot import name".
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname.partition(".")[0] not in ROOTS:
            return None
        if fullname not in PUBLISHED:
            # Without name=: Python passes over those that have it when it looks for a name of a package.
            raise ModuleNotFoundError(_absent(fullname))
        return ModuleSpec(fullname, self, origin=_MARK, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        name, table = module.__name__, PUBLISHED[module.__name__]

        def find(attribute: str) -> Any:
            place = table.get(attribute)
            if place is not None:
                found = _resolve(place)
            elif f"{name}.{attribute}" in PUBLISHED:
                found = import_module(f"{name}.{attribute}")
            else:
                raise AttributeError(_absent(f"{name}.{attribute}"), name=attribute, obj=module)
            setattr(module, attribute, found)
            return found

        module.__doc__ = f"Names of {name}, answered by Afield."
        module.__dict__.update(
            __getattr__=find,
            __dir__=lambda: sorted({*vars(module), *table}),
            __all__=sorted(each for each in table if not each.startswith("_")),
        )


_ANSWERS: Final = _Answers()


def _resolve(place: str) -> Any:
    module, _, path = place.partition(":")
    found: Any = import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def _absent(name: str) -> str:
    why = reason(name)
    return f"Afield has no {name}{f' ({why})' if why else ''}; docs/reference/compatibility.md lists what it has"
