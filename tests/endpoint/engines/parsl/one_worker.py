"""The smallest engine on Parsl."""

from __future__ import annotations

from typing import Any

from afield.endpoint.settings.engines import HtexSettings


def settings(**more: Any) -> HtexSettings:
    """One worker on this machine, looked after some times a second."""
    keys: dict[str, Any] = {
        "max_workers_per_node": 1,
        "address": "127.0.0.1",
        "provider": {"type": "LocalProvider", "init_blocks": 1, "max_blocks": 1},
        "job_status_kwargs": {"strategy_period": 0.2},
        "block_status_period": 0.2,
    }
    return HtexSettings(**{**keys, **more})
