"""``python -I -m afield.endpoint.manager.seat``: the first program of a user endpoint that runs as a mapped account.

It has the account's rights and nothing more. It makes the user endpoint's directory below the account's home, renders
the template, opens the log there, answers the manager, and executes the user endpoint (`afield.endpoint.agent`), which
reads from the same pipe what it is told. So root neither writes into a home nor follows a link that lies in one.

With ``tail`` and the name of a user endpoint behind it, it shows the end of its log instead, for the same reason.
"""

from __future__ import annotations

import os
import sys
from typing import Final, NoReturn

import msgspec

from afield.endpoint.agent.orders import HEADER
from afield.endpoint.host.report import facts, local_identity
from afield.endpoint.manager.errand import Errand, Seated, framed, rendered
from afield.endpoint.manager.spawn import open_log, read_tail
from afield.errors import ComputeError
from afield.sdk.login.known import user_dir

__all__ = ["main"]

_EX_USAGE: Final = 64
_EX_CONFIG: Final = 78
_LOG: Final = "agent.log"
#: The descriptor of the manager's audit log, where there is one.
_AUDIT: Final = 3


def main(arguments: list[str]) -> int:
    """Take a seat; returns only where that failed, or where a log was shown."""
    match arguments:
        case ["tail", name, start]:
            sys.stdout.write(read_tail(user_dir() / name / _LOG, int(start)))
            return 0
        case []:
            return _sit_down()
        case ["audited"]:
            return _sit_down(str(_AUDIT))
    return _EX_USAGE


def _sit_down(*more: str) -> int:
    errand = msgspec.json.decode(_frame(), type=Errand)
    directory = user_dir() / errand.name
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = rendered(errand, local_identity())
        log, log_from = open_log(directory / _LOG)
        os.chdir(directory)
    except (ComputeError, OSError) as error:
        print(_told(error), file=sys.stderr, flush=True)
        return _EX_CONFIG
    answer = Seated(str(directory), made.settings, dict(made.places), facts(), made.warnings, log_from)
    return _answer_and_go(framed(answer), log, errand.name, *more)


def _answer_and_go(answer: bytes, log: int, *arguments: str) -> NoReturn:
    """From here on the words go to the log, and whoever waits for more on the old descriptors hears that it is over."""
    sent = 0
    while sent < len(answer):
        sent += os.write(1, answer[sent:])
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.execv(sys.executable, (sys.executable, "-m", "afield.endpoint.agent", *arguments))  # noqa: S606 - no shell is wanted


def _told(error: ComputeError | OSError) -> str:
    if isinstance(error, OSError):
        return f"{error.filename} cannot be used: {error.strerror}. A user endpoint keeps its state there"
    return str(error).strip()


def _frame() -> bytes:
    """One frame of standard input, and not a byte more: what follows is for the user endpoint."""
    (size,) = HEADER.unpack(_exactly(HEADER.size))
    return _exactly(size)


def _exactly(count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = os.read(0, count - len(data))
        if not more:
            sys.exit("this is started by an endpoint's manager; start one with `afield endpoint start`")
        data += more
    return data


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
