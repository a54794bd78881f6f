"""Functions that are commands: what they are, how values get into them safely, and how they are run and stopped.

What is here is imported on both sides: where a command is written, and by the worker that runs it. So it needs the
standard library only. ``travel`` sends it along to workers where Afield is not installed.
"""

from __future__ import annotations

from afield.shell.function import MPIFunction, ShellFunction
from afield.shell.result import ShellResult

__all__ = ["MPIFunction", "ShellFunction", "ShellResult"]
