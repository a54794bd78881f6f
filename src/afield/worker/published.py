"""Imports of the published package by tasks, answered by Afield where it is not installed.

A task may name a module of it: a function that travelled by name (``run_hardware_report``), an import inside of one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

__all__ = ["answer_published_imports"]

_ROOTS: Final = frozenset({"globus_compute_sdk", "funcx"})
#: By name, for it is a floor far above, most of the package is below it, and few tasks ask.
_ANSWERS: Final = "afield.compat.finder"


class _AfterAllOthers:
    """Stands last, so it is asked only for what nobody else has."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in _ROOTS:
            return None
        found: ModuleSpec | None = import_module(_ANSWERS).find_spec(fullname, path, target)
        return found


_LAST: Final = _AfterAllOthers()


def answer_published_imports() -> None:
    """From now on, in this process. Costs next to nothing until one comes."""
    if _LAST not in sys.meta_path:
        sys.meta_path.append(_LAST)
