"""A Slurm of a test's own on one host: its own munge, controller, nodes and ports, gone afterwards.

Nothing that is installed or running is touched: the daemons run in the foreground, with everything of them below one
directory, and listen on 127.0.0.1 only. Each node is a ``slurmd`` under a name of its own, which a Slurm built with
``--enable-multiple-slurmd`` can do, as Debian's is. There are no cgroups and no accounting, so ``sacct`` says that it
is disabled, as on many small clusters. It is up in about a second.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from afield.errors import ConfigurationError

__all__ = ["SlurmCluster", "slurm_cluster", "why_no_slurm"]

_DAEMONS: Final = ("munged", "slurmctld", "slurmd")
_COMMANDS: Final = ("sbatch", "squeue", "scancel", "sinfo", "scontrol")

#: Where distributions put daemons, which the path of an ordinary user may lack.
_SEARCHED: Final = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/sbin"))

#: How long it may take to start or to stop, in seconds.
_PATIENCE_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.05

_CONFIGURATION: Final = """\
ClusterName=afield
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={directory}/munge/socket
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool-%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd-%n.pid
SlurmctldLogFile={directory}/log/slurmctld
SlurmdLogFile={directory}/log/slurmd-%n
MailProg={mail}
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=1
"""


def why_no_slurm() -> str | None:
    """Why no cluster can be started here, for a test that is skipped; None: one can."""
    missing = [name for name in (*_DAEMONS, *_COMMANDS) if shutil.which(name, path=_SEARCHED) is None]
    if missing:
        return f"{', '.join(missing)} not installed (Debian: munge, slurmctld, slurmd, slurm-client)"
    if not Path("/proc/self/environ").exists():
        return "Slurm's daemons need Linux"
    return None


@dataclass
class SlurmCluster:
    """A cluster that is up, or was.

    :param directory: everything of it is there, and outlives it
    :param nodes: names
    """

    directory: Path
    nodes: tuple[str, ...]
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to talk to this cluster and to no other."""
        return {"SLURM_CONF": str(self.directory / "slurm.conf")}

    @property
    def log(self) -> str:
        """What its daemons have written so far."""
        paths = sorted([*self.directory.glob("log/*"), *self.directory.glob("munge/log")])
        return "".join(f"== {path.name}\n{path.read_text(errors='replace')}" for path in paths)

    def run(self, *command: str) -> str:
        """Run one of Slurm's commands; what it prints.

        :raises ConfigurationError: it failed
        """
        done = subprocess.run(
            command,
            env=_environment(self.environment),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        if done.returncode:
            raise ConfigurationError(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """The ids of jobs that wait or run, each with its state, such as ``PENDING``."""
        return _pairs(self.run("squeue", "--noheader", "--format=%i %T"))

    def nodes_of_jobs(self) -> list[str]:
        """Where jobs run."""
        return self.run("squeue", "--noheader", "--states=RUNNING", "--format=%N").split()

    def cancel_all(self) -> None:
        """As an administrator does who cancels everybody's jobs; returns when they are over."""
        if jobs := self.jobs():
            self.run("scancel", *jobs)
        self._until(lambda: not self.jobs(), "jobs do not end")

    def drain(self, node: str) -> None:
        """Let no further job begin there; those that run go on."""
        self.run("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=afield test")

    def down(self, node: str) -> None:
        """As a node that has failed: its jobs are over at once."""
        self.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=afield test")

    def resume(self, node: str) -> None:
        """After :meth:`drain` or :meth:`down`, ready for jobs when this returns."""

        def back() -> bool:
            # Refused while jobs of the node are being cleared away, and when it has come back by itself.
            with suppress(ConfigurationError):
                self.run("scontrol", "update", f"NodeName={node}", "State=RESUME")
            return self._states().get(node) in {"idle", "mix", "alloc"}

        self._until(back, f"{node} does not come back")

    def start(self) -> None:
        """Be up when this returns, with all nodes idle.

        :raises ConfigurationError: it did not start
        """
        here = self.directory
        munge = ("socket", "key-file", "log-file", "pid-file", "seed-file")
        places = [f"--{name}={here}/munge/{name.removesuffix('-file')}" for name in munge]
        # It may lie where others cannot look: all who use it are the user who starts it.
        self._spawn("munged", "munged", "--foreground", "--force", *places)
        self._until((here / "munge" / "socket").exists, "munged makes no socket")
        configuration = str(here / "slurm.conf")
        self._spawn("slurmctld", "slurmctld", "-D", "-c", "-f", configuration)
        for node in self.nodes:
            self._spawn(node, "slurmd", "-D", "-N", node, "-f", configuration)
        self._until(lambda: set(self._states().values()) == {"idle"}, "its nodes do not become idle")

    def stop(self) -> None:
        """End its jobs, then everything it started."""
        if self._processes:
            with suppress(ConfigurationError, subprocess.TimeoutExpired):
                self.cancel_all()
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in reversed(self._processes.values()):
                process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_PATIENCE_S / 6)
        # What runs a job outlives the daemon that started it.
        for pid in _steps(self.directory / "slurm.conf"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._processes.clear()

    def _spawn(self, name: str, daemon: str, *arguments: str) -> None:
        path = shutil.which(daemon, path=_SEARCHED)
        assert path is not None, "ask why_no_slurm first"
        with (self.directory / "log" / f"{name}.output").open("ab") as output:
            self._processes[name] = subprocess.Popen(
                [path, *arguments],
                env=_environment(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.directory,
                start_new_session=True,
            )

    def _states(self) -> dict[str, str]:
        """Of each node, such as ``idle``; empty while nobody answers."""
        try:
            return _pairs(self.run("sinfo", "--noheader", "--Node", "--format=%N %t"))
        except ConfigurationError:
            return {}

    def _until(self, done: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not done():
            ended = [name for name, process in self._processes.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                why = f"{', '.join(ended)} ended" if ended else complaint
                raise ConfigurationError(f"the Slurm of this test does not work, {why}:\n{self.log[-4000:]}")
            with suppress(subprocess.TimeoutExpired):
                next(iter(self._processes.values())).wait(_LOOK_EVERY_S)


@contextmanager
def slurm_cluster(
    directory: Path, *, nodes: int = 2, cpus: int = 1, configuration: Iterable[str] = ()
) -> Iterator[SlurmCluster]:
    """A cluster for the length of a ``with`` block.

    Its nodes are ``n1``, ``n2`` and so on, all in the partition ``short``, which is the default.

    :param directory: for all of its files; short, for sockets in it have names that the system bounds
    :param nodes: how many
    :param cpus: of each node, as Slurm counts; the machine may have fewer
    :param configuration: further lines of ``slurm.conf``
    :raises ConfigurationError: it did not start
    """
    for name in ("munge", "state", "log"):
        (directory / name).mkdir(mode=0o755, parents=True, exist_ok=True)
    key = directory / "munge" / "key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    names = tuple(f"n{number}" for number in range(1, nodes + 1))
    port, *ports = _free_ports(nodes + 1)
    host = socket.gethostname().partition(".")[0]
    lines = [
        _CONFIGURATION.format(
            host=host,
            user=pwd.getpwuid(os.getuid()).pw_name,
            port=port,
            directory=directory,
            mail=shutil.which("true") or "/bin/true",
        ),
        *(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={one} CPUs={cpus} State=UNKNOWN"
            for name, one in zip(names, ports, strict=True)
        ),
        "PartitionName=short Nodes=ALL Default=YES MaxTime=60 State=UP",
        *configuration,
    ]
    (directory / "slurm.conf").write_text("\n".join(lines) + "\n")
    cluster = SlurmCluster(directory, names)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """That of this process, without what belongs to a job or a cluster around it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
    return kept | dict(own)


def _pairs(lines: str) -> dict[str, str]:
    """The two words of each line."""
    pairs = [line.split() for line in lines.splitlines()]
    return {first: second for first, second in pairs}  # noqa: C416 - each line is a pair, or this is a fault


def _steps(configuration: Path) -> list[int]:
    """The processes of this cluster's jobs, which say so in their environment."""
    mark = f"SLURM_CONF={configuration}".encode()
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            variables = (place / "environ").read_bytes().split(b"\0")
            daemon = (place / "comm").read_text().startswith("slurmstepd")
        except OSError:
            continue  # it has just ended, or is somebody else's
        if mark in variables and (daemon or any(one.startswith(b"SLURM_JOB_ID=") for one in variables)):
            found.append(int(place.name))
    return found


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
