"""Linux with systemd only: an endpoint as a unit, so that it starts with the machine.

Theory. A user unit runs in its owner's name and needs no root, but lives only while that person is logged in, unless
lingering is on. A system unit needs root to be written; it names a user. Both run the endpoint in the foreground, so
that systemd sees its exit status: what another try cannot mend (wrong files, a token that is not taken) is not tried
again, everything else is, for as long as it takes.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from afield.errors import ComputeError, ConfigurationError

__all__ = ["Place", "check_running", "complaints", "place", "systemctl", "unit_name", "unit_text"]

#: Exit statuses after which it is not started again: a wrong command line or file, a token that is not taken.
_FINAL: Final = (2, 77, 78)
#: Variables that an endpoint needs after the start of the machine, too; secrets are not among them.
_KEPT: Final = (
    "AFIELD_USER_DIR", "AFIELD_SERVICE_URL", "AFIELD_CA_FILE", "AFIELD_AMQP_PROXY", "SSL_CERT_FILE", "PATH",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
_PATIENCE_S: Final = 30


@dataclass(frozen=True, slots=True)
class Place:
    """Where units go.

    :param system: for the whole machine; else for this user
    :param directory: of unit files
    """

    system: bool
    directory: Path


def place(*, system: bool, root: Path = Path("/")) -> Place:
    """Where units of this kind go.

    :param root: of the file system
    """
    if system:
        return Place(system=True, directory=root / "etc/systemd/system")
    config = os.environ.get("XDG_CONFIG_HOME")
    return Place(system=False, directory=(Path(config) if config else Path.home() / ".config") / "systemd" / "user")


def unit_name(endpoint: str) -> str:
    """Of an endpoint's unit. ``+`` is no letter of unit names."""
    return f"afield-endpoint-{endpoint.replace('+', '_')}.service"


def unit_text(
    endpoint: str, place: Place, *, user: str | None, secrets: Path, environ: Mapping[str, str] = os.environ
) -> str:
    """The unit.

    :param user: in whose name a system unit runs; None: its own
    :param secrets: a file of variables that is read at each start, if it is there
    :param environ: the variables of whoever enables it
    """
    command = (sys.executable, "-m", "afield.endpoint.cli", "start", endpoint)
    kept = [f"Environment={_quoted(f'{name}={environ[name]}')}" for name in _KEPT if environ.get(name)]
    lines = [
        "[Unit]",
        f"Description=Afield endpoint {endpoint}",
        "Wants=network-online.target",
        "After=network-online.target",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=exec",
        f"ExecStart={' '.join(_quoted(word) for word in command)}",
        *([f"User={user}"] if place.system and user else []),
        *kept,
        f"EnvironmentFile=-{str(secrets).replace('%', '%%')}",
        "Restart=on-failure",
        "RestartSec=5",
        f"RestartPreventExitStatus={' '.join(map(str, _FINAL))}",
        # The endpoint ends its user endpoints itself; what is left after that is killed.
        "KillMode=mixed",
        "TimeoutStopSec=30",
        "",
        "[Install]",
        f"WantedBy={'multi-user.target' if place.system else 'default.target'}",
        "",
    ]
    return "\n".join(lines)


def _quoted(word: str) -> str:
    """A word as unit files have it: ``%`` and ``$`` mean something there."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if any(sign in word for sign in " \t\"'\\;") else word


def complaints(text: str, name: str, directory: Path, *, system: bool) -> str:
    """What systemd has against a unit; empty: nothing.

    :param directory: in which it may be put for that
    :raises ConfigurationError: there is no systemd here
    """
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        raise ConfigurationError(_no_systemd())
    path = directory / name
    path.write_text(text)
    command = (analyze, *(() if system else ("--user",)), "verify", "--man=no", str(path))
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    # It also complains of other units of this machine, which are none of ours.
    ours = [line for line in done.stderr.splitlines() if name in line]
    return "\n".join(ours) if done.returncode or ours else ""


def check_running() -> None:
    """Make sure that systemd runs this machine.

    :raises ConfigurationError: something else does
    """
    if sys.platform != "linux" or not Path("/run/systemd/system").is_dir():
        raise ConfigurationError(_no_systemd())


def systemctl(arguments: Sequence[str], *, system: bool) -> None:
    """Have systemd do something.

    :raises ComputeError: it does not
    """
    check_running()
    command = ("systemctl", *(() if system else ("--user",)), *arguments)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ComputeError(f"`{shlex.join(command)}` cannot be run: {error}") from error
    if done.returncode:
        raise ComputeError(f"`{shlex.join(command)}` says: {(done.stderr or done.stdout).strip()}")


def _no_systemd() -> str:
    return (
        "this machine does not run systemd, so there is no unit to enable: have what starts things here (launchd, "
        "cron's @reboot, a container's command) run `afield endpoint start NAME`; --print shows what a unit would say"
    )
