"""What objects of the published package are here, where it is not installed.

The published SDK sends its commands by the name of their class, and its workers their results.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

__all__ = ["stand_in"]

_SHELL: Final = "globus_compute_sdk.sdk.shell_function"

#: By name, for this floor knows nothing of that folder.
_PLACES: Final = {
    (_SHELL, "ShellFunction"): "afield.shell",
    (_SHELL, "ShellResult"): "afield.shell",
    ("globus_compute_sdk.sdk.mpi_function", "MPIFunction"): "afield.shell",
}


def stand_in(module: str, name: str) -> Any:
    """Ours for a class that the published package has under this name; None: there is none."""
    place = _PLACES.get((module, name))
    return None if place is None else getattr(import_module(place), name)
