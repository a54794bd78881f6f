"""Runs a script as ``python script.py`` would, with published imports answered.

The script is ``__main__``, in the very module object that the interpreter has under that name: libraries that pickle by
value what ``__main__`` defines look there, some of them only once.
"""

from __future__ import annotations

import builtins
import os
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, TracebackType
from typing import Final, NoReturn

from afield.compat import finder
from afield.errors import ConfigurationError

__all__ = ["main"]

_USAGE: Final = """\
usage: python -m afield.compat script.py [arguments]

Runs a script that was written for globus_compute_sdk or funcx with Afield. While one of these is installed, it refuses.
"""


def main() -> None:
    """The command. What the script raises goes on to the interpreter, which ends as it does for any script."""
    given = sys.argv[1:]
    if given[:1] in (["-h"], ["--help"]):
        print(_USAGE, end="")
        sys.exit(0)
    if not given or given[0].startswith("-"):
        _stop(_USAGE.rstrip())
    try:
        finder.install()
    except ConfigurationError as error:
        _stop(f"afield.compat: {error}")
    path = os.path.abspath(given[0])  # noqa: PTH100 - as the interpreter does, which follows no links here
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        _stop(f"afield.compat: {given[0]} cannot be read: {error.strerror}")
    sys.argv = given
    if not sys.flags.safe_path:
        sys.path[0] = str(Path(path).resolve().parent)
    _hide_own_frames(path)
    _become(path)
    code: CodeType = compile(source, path, "exec", dont_inherit=True)
    exec(code, sys.modules["__main__"].__dict__)  # noqa: S102 - what it is for


def _become(path: str) -> None:
    """Make ``__main__`` a module in which nothing has happened yet."""
    namespace = sys.modules["__main__"].__dict__
    # Older Pythons give it one from the start.
    annotated: dict[str, object] = {"__annotations__": {}} if "__annotations__" in namespace else {}
    namespace.clear()
    namespace.update(
        annotated,
        __name__="__main__",
        __doc__=None,
        __package__=None,
        __loader__=SourceFileLoader("__main__", path),
        __spec__=None,
        __file__=path,
        __cached__=None,
        __builtins__=builtins,
    )


def _hide_own_frames(path: str) -> None:
    """A traceback should begin in the script, and end there if an import of it failed."""
    shown = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        while trace is not None and _file(trace) != path:
            trace = trace.tb_next
        step = trace
        while step is not None and step.tb_next is not None:
            if _file(step.tb_next) == finder.__file__:
                step.tb_next = None
            step = step.tb_next
        shown(kind, error.with_traceback(trace), trace)

    sys.excepthook = show


def _file(trace: TracebackType) -> str:
    return trace.tb_frame.f_code.co_filename


def _stop(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(2)
