"""``afield up`` or ``afield serve`` over a store that may die, or fail, at a step. Not a test: run by some.

``python faulty_service.py COMMAND…`` is ``afield COMMAND…``. Steps are those of tests/delivery, named in the file that
``AFIELD_TEST_FAULT`` names, and one more. It notices sooner than others what is lost.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "delivery/programs"))
# This program has the name of that one, and is not to be found in its place.
sys.path.remove(str(Path(__file__).parent))

import fault
from faulty_service import FaultyStore

from afield.cli.main import main
from afield.service import app
from afield.service.use import rounds
from afield.service.use.submit import Submit

_open_store, _start, _submit = app.open_store, app.Service.start, Submit.__call__


async def _submit_and_fail(*arguments: Any, **options: Any) -> Any:
    answer = await _submit(*arguments, **options)
    fault.fail("service: tasks accepted, answered with 500")
    return answer


async def _start_soon(self: app.Service, settings: Any) -> Any:
    limits = dataclasses.replace(settings.limits, watch_s=0.2, grace_s=1.0)
    return await _start(self, dataclasses.replace(settings, limits=limits))


if __name__ == "__main__":
    Submit.__call__ = _submit_and_fail
    app.open_store = lambda *arguments, **options: FaultyStore(_open_store(*arguments, **options))
    app.Service.start = _start_soon
    rounds._LATE_S, rounds._UNKNOWN_S = 1.0, 3.0
    main()
