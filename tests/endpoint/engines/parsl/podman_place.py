"""Workers in containers of podman, on a root that shows the programs of this machine and has a file of its own."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

import afield
from afield.endpoint.engines.base import Engine
from afield.endpoint.engines.parsl.containers import KEEPER
from afield.testing.engines import running

from .one_worker import settings

#: Nothing here takes longer; it only bounds a hang.
PATIENCE_S = 60
#: What every container has of this machine: its programs, this Python, and Afield.
SHOWN = sorted({
    *(place for place in ("/usr", "/bin", "/lib", "/lib64", "/etc") if Path(place).exists()),
    sys.prefix, sys.base_prefix, str(Path(afield.__file__).parents[1]),
})  # fmt: skip
OPTIONS = [
    "--rm", "--network", "host", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096",
    *(f"-v={place}:{place}:ro" for place in SHOWN), "-e", f"PATH={Path(sys.executable).parent}:/usr/bin:/bin",
    "--rootfs",
]  # fmt: skip


@contextmanager
def podman_root(place: Path) -> Iterator[Path]:
    """The root of a container, which podman can run as long as this lasts. Where it cannot, the test is skipped.

    :param place: an empty directory
    """
    if shutil.which("podman") is None:
        pytest.skip("there is no podman here")
    root = place / "root"
    root.mkdir()
    (root / "marker").write_text("only here")
    configuration = place / "containers.conf"
    with pytest.MonkeyPatch.context() as patch:
        told = ""
        for runtime in ("crun", "runc"):
            configuration.write_text(f'[engine]\nruntime="{runtime}"\n')
            patch.setenv("CONTAINERS_CONF", str(configuration))
            done = subprocess.run(
                ["podman", "run", *OPTIONS, root, "python3", "-c", ""], capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                break
            told += done.stderr
        else:
            pytest.skip(f"podman can run no container here: {told}")
        yield root


class Place:
    """Where one test's endpoint is, and what runs for it."""

    def __init__(self, directory: Path, root: Path) -> None:
        self.directory = directory
        self.root = root
        self.script = str(directory / "endpoint" / KEEPER)

    @asynccontextmanager
    async def engine(self, options: str = "", root: Path | None = None, **more: Any) -> AsyncIterator[Engine]:
        """One worker in a container, looked after some times a second; nothing of it is there afterwards."""
        from afield.endpoint.engines.parsl.engine import HtexEngine
        from afield.endpoint.engines.parsl.watch import Watch

        shared = f"--label afield={self.directory} -v {self.directory}:{self.directory} {options}"
        keys: dict[str, Any] = {
            "container_type": "podman",
            "container_uri": str(root or self.root),
            "container_cmd_options": f"{shared} {' '.join(OPTIONS)}",
        }
        wanted = settings(**{**keys, **more})
        engine = HtexEngine(wanted, self.directory / "endpoint", watch=Watch(wanted, self.directory / "endpoint"))
        try:
            async with asyncio.timeout(PATIENCE_S):
                async with running(engine):
                    yield engine
                while left := self.processes():
                    await asyncio.to_thread(psutil.wait_procs, left, PATIENCE_S)
            assert self.containers() == []
        finally:
            if names := self.containers():
                subprocess.run(["podman", "rm", "--force", *names], check=False)

    def processes(self) -> list[psutil.Process]:
        """What runs for this endpoint's blocks, in containers and around them."""
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(f"{self.directory}/" in word for word in process.info["cmdline"] or ())
        ]

    def keeper(self) -> psutil.Process:
        """The process of the only block that holds its container."""
        (found,) = [one for one in self.processes() if one.cmdline()[1:3] == [self.script, "afield-block-0"]]
        return found

    def containers(self) -> list[str]:
        """Names, of those that have ended too."""
        asked = ["podman", "ps", "--all", "--filter", f"label=afield={self.directory}", "--format", "{{.Names}}"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
