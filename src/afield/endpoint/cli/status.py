"""``afield endpoint status``."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from afield.endpoint.cli.exits import UNAVAILABLE
from afield.endpoint.cli.names import AsJson, existing
from afield.endpoint.cli.words import ago, clean, megabytes, moment, some
from afield.errors import ComputeError

if TYPE_CHECKING:
    from afield.endpoint.cli.picture import Picture, UserEndpoint
    from afield.endpoint.host.directory import EndpointDirectory
    from afield.endpoint.host.status import Said

__all__ = ["status"]

#: Seconds that the service has for its answer: a person waits.
_PATIENCE_S: Final = 5.0
#: Figures of a user endpoint that have a place of their own in what is shown, or tell its owner nothing new.
_TOLD: Final = frozenset({
    "active", "active_managers", "endpoint_id", "endpoint_version", "engine_type", "heartbeat_period", "hostname",
    "idle_workers", "local_user", "managers", "max_blocks", "max_workers_per_node", "min_blocks", "nodes_per_block",
    "outstanding_tasks", "pending_tasks", "platform", "python_version", "scaling_enabled", "sdk_version", "start_iso",
    "start_unix", "total_workers",
})  # fmt: skip


def status(
    name: Annotated[str | None, typer.Argument(help="The endpoint's name or id. Without it: all.")] = None,
    as_json: AsJson = False,
    local: Annotated[bool, typer.Option("--local", help="Do not ask the service.")] = False,
) -> None:
    """Show how endpoints are: their processes, connection, user endpoints with workers and queues, and last errors.

    What is shown of user endpoints is at most some seconds old. Exit status: 69 if the endpoint that was named does not
    run or is not connected.

    \b
    Examples:
      afield endpoint status
      afield endpoint status mine
      afield endpoint status mine --json
    """
    from afield.endpoint.cli.picture import picture
    from afield.endpoint.host.directory import all_endpoints
    from afield.sdk.login.known import user_dir

    directories = [existing(name)] if name is not None else all_endpoints()
    seen = [(one := picture(directory), {} if local else _service_says(directory, one)) for directory in directories]
    if as_json:
        rows = [{**msgspec.to_builtins(one), "service": service} for one, service in seen]
        typer.echo(json.dumps(rows[0] if name is not None else rows, indent=2))
    elif not seen:
        typer.echo(f"There is no endpoint in {user_dir() / 'endpoints'}. Make one: afield endpoint configure mine")
    else:
        typer.echo("\n\n".join("\n".join(_lines(one, service, time.time())) for one, service in seen))
    if name is not None and not seen[0][0].works:
        raise typer.Exit(UNAVAILABLE)


def _service_says(directory: EndpointDirectory, one: Picture) -> dict[str, Any]:
    """What the service says of it; under ``error`` why it says nothing."""
    import asyncio

    if one.id is None:
        return {}
    try:
        return asyncio.run(_ask(directory, one.id, one.service_url))
    except ComputeError as error:
        return {"error": str(error).strip()}
    except TimeoutError:
        return {"error": f"the service at {one.service_url} does not answer within {_PATIENCE_S:.0f} s"}


async def _ask(directory: EndpointDirectory, endpoint_id: str, url: str | None) -> dict[str, Any]:
    import asyncio

    from afield.endpoint.host import registration
    from afield.endpoint.manager.owner import read_settings
    from afield.endpoint.settings import ManagerSettings
    from afield.sdk.retry import TryAgain

    settings = ManagerSettings(service_url=url) if url else read_settings(directory)[0]
    async with asyncio.timeout(_PATIENCE_S):
        async with registration.open_transport(registration.find_service(settings)) as transport:
            try:
                answer = await transport.endpoint_status(endpoint_id)
            except TryAgain as error:
                raise error.error from error
    return {"status": answer.status, "details": answer.details}


def _lines(one: Picture, service: dict[str, Any], now: float) -> list[str]:
    """All of it for people."""
    since = f" since {moment(one.started_at, now)} ({ago(now - one.started_at)})" if one.started_at else ""
    lines = [f"{one.name}  {one.id or '(no id yet)'}  {one.state}{since}"]
    if one.process is not None:
        lines.append(f"  process         {one.process.pid}, {_process(one.process)}")
    elif one.hostname is not None:
        seen = f", last sign of life {ago(now - one.heartbeat_at)} ago" if one.heartbeat_at else ""
        lines.append(f"  process         on host {one.hostname}{seen}; stop it there, or from here with --remote")
    lines.append(f"  service         {_connection(one, service, now)}")
    if one.clock_ahead_s is not None:
        from afield.endpoint.host.clock import told, weighs

        if weighs(one.clock_ahead_s):
            lines.append(f"  clock           {told(one.clock_ahead_s)}")
    lines.append(f"  log             {one.log}")
    if one.changed:
        files = ", ".join(one.changed)
        lines.append(f"  changed since   {files}; what runs has it as before: afield endpoint restart {one.name}")
    if one.works or one.user_endpoints:
        lines.append(f"  user endpoints  {len(one.user_endpoints)}")
    for child in one.user_endpoints:
        lines += _child_lines(child, now)
    for stopped, why in one.stopped.items():
        lines.append(f"  not started     {clean(stopped)}: {clean(_short(why))}")
    if one.stopped or any(child.stopped for child in one.user_endpoints):
        lines.append(f"  when that is mended: afield endpoint clear {one.name}")
    return lines + _error_lines(one.errors, now, "  ")


def _process(process: Any) -> str:
    more = f" with {some(process.processes - 1, 'process')} below it" if process.processes > 1 else ""
    more = more.replace("processs", "processes")
    return f"{megabytes(process.memory_bytes)}{more}, {process.cpu_s:.1f} s of processor time"


def _connection(one: Picture, service: dict[str, Any], now: float) -> str:
    parts = [one.service_url or "(not known yet)"]
    if one.connected_since is not None:
        parts.append(f"connected since {moment(one.connected_since, now)}")
    elif one.state == "disconnected":
        parts.append(f"not connected: {clean(one.why)}")
    if "status" in service:
        parts.append(f"the service says {service['status']}")
    elif "error" in service:
        parts.append(f"the service cannot be asked: {clean(str(service['error']))}")
    return "; ".join(parts)


def _child_lines(child: UserEndpoint, now: float) -> list[str]:
    lines = [f"  {clean(child.name)}  for {clean(child.user) or 'its owner'}, since {moment(child.started_at, now)}"]
    if child.process is not None:
        lines.append(f"      process     {child.process.pid}, {_process(child.process)}")
    state = child.state
    if child.said_at is None:
        lines.append("      it has not said anything yet")
    else:
        lines.append(f"      {_workers(state)} ({ago(now - child.said_at)} ago)")
        more = {key: value for key, value in state.items() if key not in _TOLD and value not in ("", None, [], {})}
        lines += [f"      {clean(key).replace('_', ' ')}: {clean(_short(value))}" for key, value in more.items()]
    if child.stopped:
        lines.append(f"      no more blocks: {clean(_short(child.stopped))}")
    return lines + _error_lines(child.errors, now, "      ")


def _workers(state: dict[str, Any]) -> str:
    def count(key: str) -> int:
        value = state.get(key)
        return value if isinstance(value, int) else 0

    text = (
        f"{clean(str(state.get('engine_type', 'engine')))}: {some(count('total_workers'), 'worker')}, "
        f"{count('idle_workers')} idle; {some(count('outstanding_tasks'), 'task')}, {count('pending_tasks')} waiting"
    )
    if state.get("scaling_enabled"):
        text += f"; blocks {count('min_blocks')} to {count('max_blocks')}, {some(count('active_managers'), 'node')} up"
    return text


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 400 else text[:397] + "..."


def _error_lines(errors: list[Said], now: float, indent: str) -> list[str]:
    if not errors:
        return []
    return [f"{indent}last errors"] + [f"{indent}  {moment(one.at, now)}  {clean(one.text)}" for one in errors[-5:]]
