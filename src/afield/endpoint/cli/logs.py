"""``afield endpoint logs``."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import typer

from afield.endpoint.cli.names import Name, existing
from afield.errors import ConfigurationError

if TYPE_CHECKING:
    from afield.endpoint.host.directory import EndpointDirectory

__all__ = ["Followed", "follow", "last_lines", "logs", "shown"]

#: Seconds between two looks for new lines.
_EVERY_S: Final = 0.25
#: Bytes read at once.
_PIECE: Final = 64 * 1024


def logs(
    name: Name = "default",
    follow_: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written, until Ctrl-C.")] = False,
    user_endpoint: Annotated[
        str | None,
        typer.Option(
            "--user-endpoint", "-u", metavar="NAME",
            help="The log of a user endpoint instead: a part of its name or of its user's, or 'all'.",
        ),
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many lines from the end.", min=0)] = 50,
) -> None:  # fmt: skip
    """Show what an endpoint wrote, or its user endpoints.

    \b
    Examples:
      afield endpoint logs mine
      afield endpoint logs mine -f
      afield endpoint logs mine --user-endpoint all --lines 20
      afield endpoint logs mine --user-endpoint ada@example.org -f
    """
    directory = existing(name)
    files = {"": directory.log} if user_endpoint is None else _of_user_endpoints(directory, user_endpoint)
    titles = len(files) > 1

    terminal = sys.stdout.isatty()

    def say(title: str, line: bytes) -> None:
        prefix = f"{title}  ".encode() if titles else b""
        sys.stdout.buffer.write(prefix + (shown(line) if terminal else line) + b"\n")

    followed = [Followed(title, path) for title, path in files.items()]
    try:
        for one in followed:
            for line in one.begin(lines):
                say(one.title, line)
        sys.stdout.buffer.flush()
        if follow_:
            follow(followed, say, _wait)
        elif not any(one.there for one in followed):
            typer.echo(f"There is no log yet: {', '.join(str(one.path) for one in followed)}", err=True)
    except (KeyboardInterrupt, BrokenPipeError):
        return
    finally:
        for one in followed:
            one.close()


def _wait() -> bool:
    sys.stdout.buffer.flush()
    time.sleep(_EVERY_S)
    return True


def _of_user_endpoints(directory: EndpointDirectory, wanted: str) -> dict[str, Path]:
    """The logs of user endpoints by their names: of those that run, and of those that are on the disk."""
    from afield.endpoint.host.status import ManagerStatus, read_status
    from afield.endpoint.manager.owner import below, read_settings

    log_dir = read_settings(directory)[0].log_dir if directory.configured else None
    place = below(directory, log_dir) if log_dir else None
    found: dict[str, Path] = {}
    users: dict[str, str] = {}
    for path in sorted(directory.path.glob("uep.*")):
        found[path.name] = place / f"{path.name}.log" if place else path / "agent.log"
    status = read_status(directory.status, ManagerStatus)
    for child in status.children if status else []:
        found[child.name], users[child.name] = Path(child.log), child.user
    chosen = {
        title: path for title, path in found.items() if wanted in {"all", title, users.get(title)} or wanted in title
    }
    if not chosen:
        known = ", ".join(f"{title} {users.get(title, '')}".strip() for title in found) or "none has run yet"
        raise ConfigurationError(f"no user endpoint of {directory.name} is called {wanted}; there are: {known}")
    return chosen


@dataclass(slots=True)
class Followed:
    """A log that is read line by line, also over its being put aside.

    :param title: for its reader
    :param path: where its writer finds it
    """

    title: str
    path: Path
    _file: BinaryIO | None = None
    _rest: bytes = field(default=b"")

    @property
    def there(self) -> bool:
        """Whether there is one."""
        return self._file is not None

    def close(self) -> None:
        """Let go of it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def begin(self, count: int) -> list[bytes]:
        """The last lines so far; what comes after them is for :meth:`more`."""
        self._file = _opened(self.path)
        if self._file is None:
            return []
        found = last_lines(self._file, count)
        self._file.seek(0, os.SEEK_END)
        return found

    def more(self) -> list[bytes]:
        """Whole lines that were written since."""
        lines = self._read()
        if self._put_aside():
            lines += self._read()  # what came between the last look and its being put aside
            if self._rest:
                lines.append(self._rest)
            self.close()
            self._file, self._rest = _opened(self.path), b""
            lines += self._read()
        return lines

    def _read(self) -> list[bytes]:
        if self._file is None:
            return []
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)  # somebody has emptied it
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return lines

    def _put_aside(self) -> bool:
        try:
            now = self.path.stat().st_ino
        except OSError:
            return False
        return self._file is None or os.fstat(self._file.fileno()).st_ino != now


def follow(files: list[Followed], say: Callable[[str, bytes], None], wait: Callable[[], bool]) -> None:
    """Say each line that comes.

    :param say: given the title and the line
    :param wait: waits a little; False: it is enough
    """
    while wait():
        for one in files:
            for line in one.more():
                say(one.title, line)


def last_lines(file: BinaryIO, count: int) -> list[bytes]:
    """The last lines of a file, however long it is."""
    end = file.seek(0, os.SEEK_END)
    data = b""
    while end > 0 and data.count(b"\n") <= count:
        start = max(0, end - _PIECE)
        file.seek(start)
        data, end = file.read(end - start) + data, start
    lines = data.splitlines()
    return lines[len(lines) - min(count, len(lines)) :]


def shown(line: bytes) -> bytes:
    """A line without what a terminal would obey: user endpoints write what they like."""
    text = line.decode(errors="replace")
    return "".join(sign if sign.isprintable() or sign == "\t" else "?" for sign in text).encode()


def _opened(path: Path) -> BinaryIO | None:
    """The log, which may lie in somebody else's home: it must be a plain file, and no link to what only root may read.

    :raises ConfigurationError: it is something else, or cannot be read
    """
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    found = os.fstat(file.fileno())
    theirs = os.geteuid() == 0 and found.st_uid != path.parent.stat().st_uid
    if theirs or not stat.S_ISREG(found.st_mode):
        file.close()
        raise ConfigurationError(f"{path} is no log: whoever owns its directory has put something else in its place")
    return file
