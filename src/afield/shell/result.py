"""What became of a command (published name and fields)."""

from __future__ import annotations

from typing import Any, Final

from afield.shell.travel import blank

__all__ = ["ShellResult"]

_LINES_SHOWN: Final = 10
_CHARACTERS_SHOWN: Final = 1024


class ShellResult:
    """What a :class:`~afield.shell.ShellFunction` returns.

    :param cmd: the command as it was run
    :param stdout: the last lines that it printed
    :param stderr: the last lines that it printed as errors
    :param returncode: its exit status; 124: its walltime was over; negative: it died by that signal
    :param exception_name: what Python would have raised: ``subprocess.CalledProcessError``,
        ``subprocess.TimeoutExpired``; None: it went well
    """

    def __init__(self, cmd: str, stdout: str, stderr: str, returncode: int, exception_name: str | None = None) -> None:
        self.cmd = cmd
        self.stdout = stdout
        self.stderr = stderr
        self.returncode = returncode
        self.exception_name = exception_name

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return dict(vars(self))

    def __reduce__(self) -> Any:
        return blank(ShellResult), (), vars(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ShellResult) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def __repr__(self) -> str:
        return f"ShellResult({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def __str__(self) -> str:
        parts = [f"$ {_first(self.cmd)}", f"exit code {self.returncode}{self._why()}"]
        for name in ("stdout", "stderr"):
            text = getattr(self, name).strip("\n")
            if text:
                parts += [f"{name}:", _last(text)]
        return "\n".join(parts)

    def _why(self) -> str:
        return f" ({self.exception_name})" if self.exception_name else ""


def _first(command: str) -> str:
    line, _, more = command.strip().partition("\n")
    return f"{line} …" if more else line


def _last(text: str) -> str:
    shown = "\n".join(text[-_CHARACTERS_SHOWN:].splitlines()[-_LINES_SHOWN:])
    return shown if shown == text else f"… (all of it is in the attribute)\n{shown}"
