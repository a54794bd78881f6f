"""What the service says of itself while it runs: lines for people, or one JSON object a line for programs.

The standard library's logging does it: all that a line needs is what every record has, the ids that belong to it
(``extra={"task_id": …}``), and the request under way. Another library would be one more thing to start, and would have
to be taught to speak for the libraries below, which use this one.

Two rules. No line ever holds a payload, a result, a function's code or a secret: what is logged is chosen field by
field, never a body, a header or an address with its query. And because a library's error text may quote the address
that it was given, passwords within addresses, and tokens, are taken out of each line, whoever wrote it.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from contextvars import ContextVar
from itertools import count
from secrets import token_hex
from typing import Final, Literal, get_args

import msgspec

from afield.errors import ConfigurationError

__all__ = ["Lines", "LogFormat", "log_to_stderr", "new_request_id", "request_id", "without_secrets"]

LogFormat = Literal["text", "json"]

_LEVELS: Final = ("debug", "info", "warning", "error")

#: the id of the request that is being answered; empty outside of one
request_id: ContextVar[str] = ContextVar("request_id", default="")

#: Unique among processes, and rising within one: a request's id costs no look at a clock and no random number.
_numbers = count(1)
_here = token_hex(6)

#: What could begin a line of its own, or move a terminal's cursor: endpoints choose what is quoted of them.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_encode = msgspec.json.Encoder(enc_hook=str).encode

#: What every record has; anything else was put there as ``extra``.
_USUAL: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_PASSWORD: Final = re.compile(r"(://[^\s:/@'\"]*):[^\s/'\"]*@")
_TOKEN: Final = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")


def new_request_id() -> str:
    """An id for one request; see :data:`request_id`."""
    return f"{_here}-{next(_numbers):x}"


def without_secrets(text: str) -> str:
    """A text without passwords in addresses, and without tokens in quoted headers."""
    return _TOKEN.sub(r"\1 ***", _PASSWORD.sub(r"\1:***@", text))


class Lines(logging.Formatter):
    """Writes records as lines.

    :param format: for whom
    """

    def __init__(self, format: LogFormat = "text") -> None:  # noqa: A002 - what the setting is called
        super().__init__()
        self._json = format == "json"

    def format(self, record: logging.LogRecord) -> str:
        """One line for a program; for people, one and what was raised."""
        said = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if asked := request_id.get():
            said["request_id"] = asked
        said |= {name: value for name, value in vars(record).items() if name not in _USUAL}
        raised = self.formatException(record.exc_info) if record.exc_info else ""
        if self._json:
            if raised:
                said["raised"] = raised
            return without_secrets(_encode(said).decode())
        more = "".join(f" {name}={value}" for name, value in list(said.items())[4:])
        line = f"{said['time']} {said['level'].upper()} {said['logger']}: {said['message']}{more}"
        line = _CONTROL.sub(lambda found: ascii(found[0])[1:-1], line)
        return without_secrets(f"{line}\n{raised}" if raised else line)


def log_to_stderr(level: str, format: LogFormat = "text") -> None:  # noqa: A002 - what the setting is called
    """Log from this level up.

    :raises ConfigurationError: there is no such level
    """
    if level not in _LEVELS:
        raise ConfigurationError(f"--log-level {level} is not one of {', '.join(_LEVELS)}")
    if format not in get_args(LogFormat):
        raise ConfigurationError(f"--log-format {format} is not one of {', '.join(get_args(LogFormat))}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(format))
    logging.basicConfig(level=level.upper(), handlers=[handler])
