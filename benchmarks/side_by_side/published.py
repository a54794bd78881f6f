"""The published client and the published endpoint. Runs in an environment of its own."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

from benchmarks.protocol import main
from benchmarks.side_by_side.pair import Pair

#: What the client allows itself at most, however it is asked: requests, and seconds.
_BURST = 8
_WINDOW_S = 1


class Published(Pair):
    """Their Executor, and whatever engine the endpoint is configured with."""

    def __init__(self) -> None:
        self._calls = 0

    def load(self) -> None:
        """The SDK."""
        import globus_compute_sdk  # noqa: F401 - only loaded

    def connect(self, endpoint_id: str, workers: int) -> Any:
        """To that endpoint, with the most requests that the client can be told to allow itself."""
        from globus_compute_sdk import Executor

        return Executor(
            endpoint_id,
            user_endpoint_config={"max_workers": workers},
            api_burst_limit=_BURST,
            api_burst_window_s=_WINDOW_S,
        )

    def may_call(self) -> None:
        """Else it would wait within a call."""
        if self._calls % (_BURST - 1) == 0:
            time.sleep(_WINDOW_S + 0.1)
        self._calls += 1

    def version(self) -> str:
        """Of both packages."""
        return f"globus-compute-sdk {version('globus-compute-sdk')}, -endpoint {version('globus-compute-endpoint')}"


if __name__ == "__main__":
    main(Published())
