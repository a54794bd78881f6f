"""What can be seen on this machine without asking anybody: files, disk, locks, Python, the scheduler's commands."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from afield import __version__
from afield.endpoint.cli.checks.finding import Finding, failed, ok, warning
from afield.endpoint.cli.words import clean, megabytes
from afield.errors import ConfigurationError

if TYPE_CHECKING:
    from afield.endpoint.host.directory import EndpointDirectory
    from afield.endpoint.manager.template import Template
    from afield.endpoint.settings import ManagerSettings

__all__ = ["machine_findings", "wanted_commands"]

#: Free bytes below which results and logs may soon not fit, and below which they do not.
_LITTLE: Final = 1_000_000_000
_TOO_LITTLE: Final = 50_000_000

#: Commands that each provider of Parsl's runs (reference: published features, A10.4).
_SCHEDULERS: Final = {
    "SlurmProvider": ("sbatch", "squeue", "scancel", "sacct"),
    "PBSProProvider": ("qsub", "qstat", "qdel"),
    "TorqueProvider": ("qsub", "qstat", "qdel"),
    "GridEngineProvider": ("qsub", "qstat", "qdel"),
    "LSFProvider": ("bsub", "bjobs", "bkill"),
    "CondorProvider": ("condor_submit", "condor_q", "condor_rm"),
    "CobaltProvider": ("qsub", "qstat", "qdel"),
}
#: Commands that launchers and containers run; those of launchers may be on the nodes only.
_ON_NODES: Final = {
    "SrunLauncher": ("srun",),
    "SrunMPILauncher": ("srun",),
    "MpiExecLauncher": ("mpiexec",),
    "MpiRunLauncher": ("mpirun",),
    "JsrunLauncher": ("jsrun",),
    "AprunLauncher": ("aprun",),
}
_CONTAINERS: Final = ("docker", "podman", "apptainer", "singularity")


def machine_findings(directory: EndpointDirectory) -> tuple[ManagerSettings | None, list[Finding]]:
    """The settings, if they can be read, and what was seen."""
    found = [_version()]
    settings, files = _files(directory)
    found += files
    found += _disk(directory.path)
    if settings is not None:
        found += _audit(directory, settings)
        found += _template(directory, settings)
    return settings, found


def _version() -> Finding:
    where = f"{sys.executable}, {platform.platform()}"
    return ok("version", f"afield {__version__}, Python {platform.python_version()} ({where})")


def _files(directory: EndpointDirectory) -> tuple[ManagerSettings | None, list[Finding]]:
    from afield.endpoint.manager.owner import read_environment, read_settings

    try:
        settings, warnings = read_settings(directory)
        read_environment(directory)
        directory.identity()
    except ConfigurationError as error:
        return None, [failed("files", str(error), "correct the file")]
    if warnings:
        return settings, [warning("files", "; ".join(warnings), "remove what has no effect")]
    return settings, [ok("files", f"config.yaml and what is beside it can be read ({directory.path})")]


def _disk(path: Path) -> Iterator[Finding]:
    from afield.endpoint.host.lock import locks_work

    free = shutil.disk_usage(path).free
    text = f"{megabytes(free)} free for {path}"
    todo = "make room, or move the endpoints with AFIELD_USER_DIR: results and logs are kept there"
    if free < _TOO_LITTLE:
        yield failed("disk", text, todo)
    elif free < _LITTLE:
        yield warning("disk", text, todo)
    else:
        yield ok("disk", text)
    try:
        works = locks_work(path)
    except OSError as error:
        yield failed("disk", f"nothing can be written to {path}: {error.strerror}", "mend its permissions or quota")
        return
    if works:
        yield ok("locks", "file locks work here; other hosts with this directory are told by heartbeats, too")
    else:
        yield warning(
            "locks",
            f"the file system of {path} has no file locks: a second start is kept away by heartbeats alone",
            "start it on one host only, or set AFIELD_USER_DIR to a file system with locks",
        )


def _audit(directory: EndpointDirectory, settings: ManagerSettings) -> Iterator[Finding]:
    from afield.endpoint.manager.audit import check_audit

    try:
        path = check_audit(directory, settings)
    except ConfigurationError as error:
        yield failed("audit log", str(error), "mend it: `afield endpoint start` and `restart` refuse until then")
        return
    if path is not None:
        yield ok("audit log", f"{path} can be written")


def _template(directory: EndpointDirectory, settings: ManagerSettings) -> Iterator[Finding]:
    from afield.endpoint.manager.owner import read_template

    try:
        template = read_template(directory, settings)
        said, lacking = _tried(template, settings)
    except ConfigurationError as error:
        yield failed("template", str(error), f"correct it, and try it: afield endpoint render {directory.name}")
        return
    for what in lacking:
        yield failed("template", what, "install it, or choose another engine")
    yield ok("template", f"{said}; `afield endpoint render {directory.name}` shows what it makes")
    text = template.text
    for name, commands, everywhere in wanted_commands(text):
        missing = [command for command in commands if shutil.which(command) is None]
        if not missing:
            yield ok("commands", f"{name}: {', '.join(commands)} found")
        elif everywhere:
            path = clean(os.environ.get("PATH", ""))
            yield failed(
                "commands",
                f"{name} needs {', '.join(missing)}, not found in PATH ({path})",
                "load the scheduler's module before the start, or run the endpoint on a login node of the cluster",
            )
        else:
            yield warning(
                "commands", f"{name} needs {', '.join(missing)} on the nodes, and this host has none",
                "fine if the nodes have it",
            )  # fmt: skip
    if any(name in text for name in _SCHEDULERS):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        yield ok(
            "workers",
            f"workers on nodes should run Python {version} with afield {__version__}: let worker_init activate an "
            "environment that has both, and that the nodes can read",
        )


def _tried(template: Template, settings: ManagerSettings) -> tuple[str, list[str]]:
    """What became of a try without options, for people, and what its engine lacks here.

    :raises ConfigurationError: no user endpoint would start
    """
    from afield.endpoint.engines.dry_run import dry_run
    from afield.endpoint.host.report import local_identity
    from afield.endpoint.manager.owner import without_secrets
    from afield.endpoint.manager.template import OptionMissing, render
    from afield.sdk.batch import this_runtime

    wanting = "the template and its schema can be read, and need options of whoever submits"
    if (template.schema or {}).get("required"):
        return wanting, []
    try:
        rendered = render(
            replace(template, schema=None),  # it is about options, and there are none
            {},
            parent_config=msgspec.to_builtins(settings),
            user_runtime=this_runtime(),
            mapped_identity={"local": local_identity(), "globus": {"id": ""}},
            environment=without_secrets(os.environ),
        )
    except OptionMissing:
        return wanting, []
    return "the template and its schema are right", dry_run(rendered.settings.engine, rendered.places)


def wanted_commands(template: str) -> list[tuple[str, tuple[str, ...], bool]]:
    """What a template's providers, launchers and containers run: name, commands, and whether on this host."""
    words = set(re.findall(r"\w+", re.sub(r"\{#.*?#\}|^\s*#.*$", "", template, flags=re.DOTALL | re.MULTILINE)))
    wanted = [(name, commands, True) for name, commands in _SCHEDULERS.items() if name in words]
    wanted += [(name, commands, False) for name, commands in _ON_NODES.items() if name in words]
    if "container_type" in words:
        wanted += [(f"container_type {name}", (name,), False) for name in _CONTAINERS if name in words]
    return wanted
