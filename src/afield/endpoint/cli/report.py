"""All that somebody else needs to find out what is wrong, as one text (reference: published features, A7).

Values of environment variables and of ``user_environment.yaml`` are left out, and so are logins in URLs.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Final

from afield.endpoint.cli.words import megabytes

if TYPE_CHECKING:
    from afield.endpoint.host.directory import EndpointDirectory

__all__ = ["text"]

#: A login in a URL, and what looks like a token of this service's.
_SECRET: Final = re.compile(r"(?<=://)[^/@\s]+@|\bafield_[A-Za-z0-9_.-]{8,}|(?<=Bearer )\S+")
#: What tells the most of a machine's addresses, where it is there, and seconds that it may take.
_COMMANDS: Final = (("ip", "-brief", "address"), ("ip", "route"), ("quota", "-s"), ("openssl", "version"))
_PATIENCE_S: Final = 10


def text(directory: EndpointDirectory, findings: Sequence[str], log_bytes: int) -> str:
    """The report.

    :param findings: what the doctor found, a line each
    :param log_bytes: how much of the end of each log
    """
    parts = [
        ("doctor", "\n".join(findings)),
        ("machine", _machine()),
        ("packages", "\n".join(sorted({f"{one.name}=={one.version}" for one in distributions()}, key=str.lower))),
        ("environment (names)", "\n".join(sorted(os.environ))),
        ("disk", _disk(directory.path)),
        *((" ".join(command), _output(command)) for command in _COMMANDS if shutil.which(command[0])),
    ]
    files = (directory.config, directory.template, directory.schema, directory.status, directory.log)
    parts += [(str(path), _tail(path, log_bytes)) for path in (*files, *sorted(directory.path.glob("uep.*/*.log")))]
    return _SECRET.sub("***", "\n\n".join(f"===== {title} =====\n{body}" for title, body in parts)) + "\n"


def _machine() -> str:
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        system = ""
    return f"{' '.join(platform.uname())}\n{system}\nuid {os.getuid()}, {os.cpu_count()} processors"


def _disk(path: Path) -> str:
    usage = shutil.disk_usage(path)
    return f"{path}: {megabytes(usage.free)} free of {megabytes(usage.total)}"


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stdout + done.stderr


def _tail(path: Path, most: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            return file.read().decode(errors="replace")
    except OSError as error:
        return f"({error.strerror})"
