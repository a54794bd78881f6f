"""An endpoint's manager, the real one, that may die at a step, and starts user endpoints that may.

Not a test: run by one.

Arguments: its directory, the service's URL. The token is in the environment. It prints a line of JSON when it is up.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import fault

from afield.endpoint import assemble
from afield.endpoint.host.defaults import write_defaults
from afield.endpoint.host.directory import EndpointDirectory
from afield.endpoint.manager.core import ManagerCore
from afield.endpoint.manager.owner import read_settings

_HERE = Path(__file__).parent


class FaultyCore(ManagerCore):
    """Decides as ever, and may die before anything is done about it."""

    def _start_or_refresh(self, command, now):
        fault.reach("manager: command here, nothing started")
        return super()._start_or_refresh(command, now)


async def main() -> None:
    from afield.endpoint.manager import loop

    loop.ManagerCore, loop.Link = FaultyCore, fault.EagerLink
    directory = EndpointDirectory("faulty", Path(sys.argv[1]))
    if not directory.configured:
        write_defaults(directory, display_name="faulty", service_url=None)
    settings, _ = read_settings(directory)
    command = (sys.executable, str(_HERE / "faulty_agent.py"))
    token = os.environ["AFIELD_TEST_TOKEN"]
    manager = await assemble.manager(directory, settings, service_url=sys.argv[2], token=token, command=command)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    running = asyncio.ensure_future(manager.run(stop))
    await manager.ready.wait()
    print(json.dumps({"endpoint_id": manager.endpoint_id}), flush=True)
    await running


if __name__ == "__main__":
    asyncio.run(main())
