"""A task sent through and back: the one check that leaves nothing out."""

from __future__ import annotations

import time
from concurrent.futures import TimeoutError as LateError
from typing import TYPE_CHECKING

from afield.endpoint.cli.checks.finding import Finding, failed, ok, warning
from afield.errors import ComputeError

if TYPE_CHECKING:
    from afield.endpoint.cli.picture import Picture
    from afield.endpoint.settings import ManagerSettings

__all__ = ["endpoint_finding", "task_finding"]


def endpoint_finding(one: Picture) -> Finding:
    """Whether it runs and is connected."""
    if one.works:
        return ok("endpoint", f"{one.name} runs as process {one.pid} and is connected")
    if one.state == "disconnected":
        return failed("endpoint", f"{one.name} runs, and is not connected: {one.why}", "see what is said of the queues")
    if one.state.startswith("running on"):
        return ok("endpoint", f"{one.name} runs on host {one.hostname}")
    return warning("endpoint", f"{one.name}: {one.state}", f"start it: afield endpoint start {one.name} --detach")


def task_finding(one: Picture, settings: ManagerSettings, patience_s: float) -> Finding:
    """Send ``pow(2, 5)`` to the endpoint, with default options, and wait for the answer.

    :param one: an endpoint that runs
    :param patience_s: how long to wait, in seconds: a user endpoint may have to start, a block to be queued
    """
    from afield import Client, Executor

    if settings.allowed_functions is not None:
        todo = "submit one of the allowed functions yourself"
        return warning("task", "only some functions may run here (allowed_functions), so none was tried", todo)
    began = time.monotonic()
    try:
        with Client(service_url=one.service_url) as client, Executor(endpoint_id=one.id, client=client) as executor:
            future = executor.submit(pow, 2, 5)
            try:
                value = future.result(timeout=patience_s)
            except LateError:
                executor.shutdown(wait=False, cancel_futures=True)
                return failed(
                    "task", f"no result within {patience_s:.0f} s",
                    f"look at: afield endpoint status {one.name}; afield endpoint logs {one.name} -u all. A block that "
                    "waits in a scheduler's queue takes its time: try again with --task-timeout 3600",
                )  # fmt: skip
    except ComputeError as error:
        return failed("task", str(error).strip(), f"look at: afield endpoint logs {one.name} -u all")
    if value != 32:
        return failed("task", f"pow(2, 5) came back as {value!r}", "tell the developers of afield")
    return ok("task", f"a task went through and back in {time.monotonic() - began:.2f} s")
