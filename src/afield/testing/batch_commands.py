"""Stand-ins for the commands of batch schedulers that nobody installs on a test machine: PBS Pro and LSF.

Each command is a program in a directory that a test puts first in its ``PATH``. A job runs at once, on this machine, in
a session of its own; its output goes where its script says. What the commands print has the form that the real ones
print, as far as Parsl's providers and this package read it. Whatever is not in here they refuse.

For Slurm there is the real thing: :mod:`afield.testing.slurm_cluster`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["end_jobs", "install_commands", "jobs_of", "run_command"]

#: In the environment of each command: where it finds the jobs.
_PLACE: Final = "AFIELD_TEST_JOBS"
#: Lines of a script that say where output goes.
_STREAMS: Final = re.compile(r"^#(?:PBS|BSUB) -([oe]) (.+)$", re.MULTILINE)


def install_commands(directory: Path) -> dict[str, str]:
    """Put the commands there.

    :return: the environment in which they are found, and find their jobs
    """
    commands, jobs = directory / "commands", directory / "jobs"
    commands.mkdir(parents=True)
    jobs.mkdir()
    for name in _COMMANDS:
        program = commands / name
        program.write_text(
            f"#!{sys.executable} -P\nimport sys\nfrom afield.testing.batch_commands import run_command\n"
            f"sys.exit(run_command({name!r}, sys.argv[1:]))\n"
        )
        program.chmod(0o755)
    return {"PATH": os.pathsep.join((str(commands), os.environ["PATH"])), _PLACE: str(jobs)}


def jobs_of(directory: Path) -> dict[str, str]:
    """The jobs of the commands that :func:`install_commands` put there: ``running``, ``over`` or ``cancelled``."""
    return {place.name: _state(place) for place in sorted((directory / "jobs").iterdir())}


def end_jobs(directory: Path) -> None:
    """End all jobs."""
    for place in (directory / "jobs").iterdir():
        _kill(place)


def run_command(name: str, arguments: Sequence[str]) -> int:
    """Be one of the commands; the exit status."""
    return _COMMANDS[name](list(arguments))


def _qsub(arguments: list[str]) -> int:
    if "-q" in arguments and arguments[arguments.index("-q") + 1] == "nowhere":
        return _refuse("qsub: Unknown queue")
    print(f"{_begin(Path(arguments[-1]).read_text())}.server")
    return 0


def _qdel(arguments: list[str]) -> int:
    return _each(arguments, _kill)


def _qstat(arguments: list[str]) -> int:
    options = [one for one in arguments if one.startswith("-")]
    names = [one for one in arguments if not one.startswith("-") and one != "json"]
    if options == ["-x", "-f", "-F"]:
        told = {name: {"job_state": _PBS[_state(_job(name))]} for name in names}
        print(json.dumps({"Jobs": told}))
    elif options == ["-x", "-f"]:
        for name in names:
            place = _job(name)
            state = _state(place)
            print(f"Job Id: {name}\n    job_state = {_PBS[state]}")
            if state == "over":
                print(f"    exec_host = n1/0\n    Exit_status = {_exit(place)}")
            print(f"    comment = Job {'was deleted' if state == 'cancelled' else 'run'} at n1\n")
    else:
        return _refuse(f"qstat: no such options: {arguments}")
    return 0


def _bsub(arguments: list[str]) -> int:
    script = sys.stdin.read() if not arguments else Path(arguments[-1]).read_text()
    if "#BSUB -q nowhere" in script:
        return _refuse("nowhere: No such queue. Job not submitted.")
    print(f"Job <{_begin(script)}> is submitted to default queue <normal>.")
    return 0


def _bkill(arguments: list[str]) -> int:
    return _each(arguments, _kill)


def _bjobs(arguments: list[str]) -> int:
    *options, columns = [one for one in arguments if not one.isdigit()]
    for name in (one for one in arguments if one.isdigit()):
        place = _job(name)
        code = _exit(place)
        state = {"running": "RUN", "cancelled": "EXIT", "over": "EXIT" if code != "0" else "DONE"}[_state(place)]
        if columns == "jobid stat":
            print(name, state)
        elif "-a" in options:
            print(state, code or "-", "TERM_OWNER: job killed by owner" if _state(place) == "cancelled" else "-", "n1")
    return 0


_PBS: Final = {"running": "R", "over": "F", "cancelled": "F"}
_COMMANDS: Final[dict[str, Callable[[list[str]], int]]] = {
    "qsub": _qsub, "qstat": _qstat, "qdel": _qdel, "bsub": _bsub, "bjobs": _bjobs, "bkill": _bkill,
}  # fmt: skip


def _begin(script: str) -> str:
    """Run a script; the number of its job."""
    jobs = Path(os.environ[_PLACE])
    number = str(1000 + len(list(jobs.iterdir())))
    place = jobs / number
    place.mkdir()
    (place / "script").write_text(script)
    streams = dict(_STREAMS.findall(script))
    run = 'bash "$0/script" >"$1" 2>"$2"; echo $? >"$0/part"; mv "$0/part" "$0/exit"'
    outputs = [streams.get(which, os.devnull).strip() for which in "oe"]
    process = subprocess.Popen(
        ["/bin/sh", "-c", run, str(place), *outputs],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    (place / "pid").write_text(str(process.pid))
    return number


def _kill(place: Path) -> None:
    (place / "cancelled").touch()
    with suppress(ProcessLookupError):
        os.killpg(int((place / "pid").read_text()), signal.SIGKILL)


def _state(place: Path) -> str:
    if (place / "exit").exists():
        return "over"
    return "cancelled" if (place / "cancelled").exists() else "running"


def _exit(place: Path) -> str:
    return (place / "exit").read_text().strip() if (place / "exit").exists() else ""


def _job(name: str) -> Path:
    return Path(os.environ[_PLACE]) / name.partition(".")[0]


def _each(names: list[str], act: Callable[[Path], None]) -> int:
    for name in names:
        act(_job(name))
    return 0


def _refuse(why: str) -> int:
    print(why, file=sys.stderr)
    return 255
