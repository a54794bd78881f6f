"""``afield endpoint doctor``: what is wrong, and what to do about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from afield.endpoint.cli.exits import UNAVAILABLE
from afield.endpoint.cli.names import AsJson, Name, existing

if TYPE_CHECKING:
    from afield.endpoint.cli.checks.finding import Finding
    from afield.endpoint.cli.picture import Picture
    from afield.endpoint.host.directory import EndpointDirectory
    from afield.endpoint.settings import ManagerSettings

__all__ = ["doctor"]

_COLOURS: Final = {"ok": "green", "warning": "yellow", "failed": "red"}


def doctor(  # noqa: PLR0917 - typer hands options over by name
    name: Name = "default",
    as_json: AsJson = False,
    task: Annotated[bool, typer.Option("--task/--no-task", help="Send a task, if the endpoint runs.")] = True,
    task_timeout: Annotated[float, typer.Option(help="Seconds that the task may take.", min=1)] = 60.0,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all of it, with logs and packages, to a gzip file for somebody else."),
    ] = None,
    log_kb: Annotated[
        int, typer.Option("--log-kb", help="How much of each log that file has, in kilobytes.", min=0)
    ] = 1024,
) -> None:
    """Look at all that an endpoint needs: files, disk, scheduler commands, the way to the service and to its queues,
    clocks, logins; and, while it runs, send a task through and back.

    Each line is ok, a warning, or failed, with what to do next. Exit status: 69 if something failed.

    \b
    Examples:
      afield endpoint doctor mine
      afield endpoint doctor mine --no-task --json
      afield endpoint doctor mine --report mine.txt.gz
    """
    from afield.endpoint.cli.checks.machine import machine_findings
    from afield.endpoint.cli.picture import picture

    directory = existing(name)
    one = picture(directory)
    settings, seen = machine_findings(directory)
    if not as_json:
        _say(seen)
    if settings is not None:
        seen += _beyond(one, settings, as_json=as_json, task_s=task_timeout if task else None)
    if as_json:
        typer.echo(json.dumps([msgspec.to_builtins(finding) for finding in seen], indent=2))
    if report is not None:
        _report(directory, seen, report, log_kb)
    if any(finding.level == "failed" for finding in seen):
        raise typer.Exit(UNAVAILABLE)


def _beyond(one: Picture, settings: ManagerSettings, *, as_json: bool, task_s: float | None) -> list[Finding]:
    """What is seen beyond this machine."""
    import asyncio

    from afield.endpoint.cli.checks.network import network_findings
    from afield.endpoint.cli.checks.task import endpoint_finding, task_finding

    seen: list[Finding] = []

    def add(finding: Finding) -> None:
        seen.append(finding)
        if not as_json:
            _say([finding])

    async def look() -> None:
        async for finding in network_findings(settings, one.service_url):
            add(finding)

    asyncio.run(look())
    add(endpoint_finding(one))
    if task_s is not None and one.id is not None and one.state.startswith("running"):
        add(task_finding(one, settings, task_s))
    return seen


def _say(seen: list[Finding]) -> None:
    for one in seen:
        typer.echo(f"{typer.style(one.level.ljust(7), fg=_COLOURS[one.level])}  {one.about.ljust(9)}  {one.text}")
        if one.todo:
            typer.echo(f"{' ' * 20}-> {one.todo}")


def _report(directory: EndpointDirectory, seen: list[Finding], path: Path, log_kb: int) -> None:
    import gzip

    from afield.endpoint.cli.report import text
    from afield.errors import ConfigurationError

    lines = [f"{one.level:7}  {one.about:9}  {one.text}{f' -> {one.todo}' if one.todo else ''}" for one in seen]
    try:
        with gzip.open(path, "wt", encoding="utf-8") as file:
            file.write(text(directory, lines, log_kb * 1024))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
    typer.echo(f"Written: {path}. It has logs and file names in it: look through it before you send it.", err=True)
