"""Commands that are submitted like functions (published names, parameters and results)."""

from __future__ import annotations

import keyword
import math
import os
from typing import Any, SupportsIndex

from afield.shell.quoting import fill
from afield.shell.result import ShellResult
from afield.shell.travel import blank

__all__ = ["MPIFunction", "ShellFunction"]


class ShellFunction:
    """A command for ``/bin/bash``, to be submitted like a function.

    ::

        count = ShellFunction("grep -c {word} {file}")
        result = ex.submit(count, word="it's", file="notes.txt").result()
        print(result.returncode, result.stdout)

    Values are given by keyword when it is submitted. They are quoted for the place where they stand, so that none is
    taken for a part of the command; a list or tuple becomes several words. (The published one does not quote.) The
    command runs in the task's own directory where the endpoint gives tasks one, else in the worker's.

    :param cmd: the command, with ``{name}`` where a value belongs; other braces stay as they are
    :param stdout: a file on the endpoint to which standard output is appended; None: it is only returned
    :param stderr: likewise for standard error
    :param walltime: seconds after which the command is stopped, with every process that it started; None: never
    :param snippet_lines: how many of the last lines of each are returned
    :param name: under which it is registered: a Python identifier; None: the class's
    :param return_dict: whether it returns a plain dictionary instead of a :class:`ShellResult`
    :param quote: False: values are put in as they are, as the published one does. Then whoever gives the values decides
        what is run
    :raises ValueError: ``name`` is none, or a number is out of range
    :raises TypeError: ``cmd`` is no text, or a file's name is none
    """

    #: for those that the published SDK has pickled: it knows nothing of the first, and before 4.0 not of the second
    quote = False
    return_dict = False

    def __init__(  # noqa: PLR0917 - as published
        self,
        cmd: str,
        stdout: str | os.PathLike[str] | None = None,
        stderr: str | os.PathLike[str] | None = None,
        walltime: float | None = None,
        snippet_lines: int = 1000,
        name: str | None = None,
        return_dict: bool = False,  # noqa: FBT001, FBT002 - as published
        *,
        quote: bool = True,
    ) -> None:
        name = type(self).__name__ if name is None else name
        _check(cmd, walltime, snippet_lines, name)
        self.cmd = cmd
        self.stdout = _file("stdout", stdout)
        self.stderr = _file("stderr", stderr)
        self.walltime = walltime
        self.snippet_lines = snippet_lines
        self.return_dict = return_dict
        self.quote = quote
        self.__name__ = name

    def command(self, **values: Any) -> str:
        """The command that a call with these values runs.

        :raises TypeError: a value has no place in it
        :raises ValueError: a value cannot be written where it stands
        """
        return fill(self.cmd, values, quote=self.quote)

    def check_call(self, *args: Any, **kwargs: Any) -> None:
        """Make sure that a call with these arguments will run a command; ``submit`` does so, before anything is sent.

        :raises TypeError: values are given by position, or one has no place in the command
        :raises ValueError: a value cannot be written where it stands
        """
        if args:
            raise TypeError(f"{self.__name__} takes its values by keyword, as in submit({self.__name__}, name=value)")
        self.command(**kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> ShellResult | dict[str, Any]:
        """Run it here and wait for its end; a worker does so.

        :raises TypeError: values were given by position, or one has no place in the command
        :raises ValueError: a value cannot be written where it stands
        :raises OSError: the command could not be started
        """
        if args:
            self.check_call(*args)
        from afield.shell.running import run

        result = run(
            self.command(**kwargs),
            stdout=self.stdout,
            stderr=self.stderr,
            walltime=self.walltime,
            lines=self.snippet_lines,
        )
        return result.as_dict() if self.return_dict else result

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        # A class of somebody's own goes as any object does.
        if type(self) not in {ShellFunction, MPIFunction}:
            return super().__reduce_ex__(protocol)
        return blank(type(self)), (), vars(self)

    def __repr__(self) -> str:
        shown: dict[str, Any] = {"name": self.__name__} if self.__name__ != type(self).__name__ else {}
        shown |= {name: getattr(self, name) for name in ("stdout", "stderr", "walltime")}
        named = "".join(f", {name}={value!r}" for name, value in shown.items() if value is not None)
        return f"{type(self).__name__}({self.cmd!r}{named})"


class MPIFunction(ShellFunction):
    """A command that an MPI launcher starts on every rank (published name).

    The endpoint's engine (``GlobusMPIEngine``) sets ``PARSL_MPI_PREFIX`` to the launcher with its arguments, from the
    Executor's ``resource_specification``: ``num_nodes``, and ``ranks_per_node`` or ``num_ranks``, and
    ``launcher_options``. Parameters are those of :class:`ShellFunction`.
    """

    def command(self, **values: Any) -> str:
        """The command with the launcher in front of it."""
        return f"$PARSL_MPI_PREFIX {super().command(**values)}"


def _check(cmd: Any, walltime: Any, snippet_lines: Any, name: Any) -> None:
    if not isinstance(cmd, str):
        raise TypeError(f"cmd should be the command as one text, and is a {type(cmd).__name__}")
    if "\0" in cmd:
        raise ValueError(f"cmd holds a NUL character, which no command can hold: {cmd!r}")
    right = isinstance(walltime, int | float) and not isinstance(walltime, bool) and 0 < walltime < math.inf
    if walltime is not None and not right:
        raise ValueError(f"walltime should be a number of seconds above 0, or None for no limit; not {walltime!r}")
    if not isinstance(snippet_lines, int) or isinstance(snippet_lines, bool) or snippet_lines < 0:
        raise ValueError(f"snippet_lines should be a number of lines from 0 up, not {snippet_lines!r}")
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"name should be a Python identifier like count_words, not {name!r}")


def _file(name: str, path: Any) -> str | None:
    """The name of a file on the endpoint. Paths are this machine's objects, so they travel as text."""
    if isinstance(path, os.PathLike):
        path = os.fspath(path)
    if not isinstance(path, str | None):
        raise TypeError(f"{name} should be the name of a file on the endpoint, or None; and is {path!r}")
    return path
