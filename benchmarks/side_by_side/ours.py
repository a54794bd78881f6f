"""Our client and our endpoint."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from benchmarks.protocol import main
from benchmarks.side_by_side.pair import Pair


class Ours(Pair):
    """Executor, and worker processes."""

    def load(self) -> None:
        """The SDK."""
        from afield import Executor

        Executor.submit  # noqa: B018 - names resolve lazily; this loads what is behind it

    def connect(self, endpoint_id: str, workers: int) -> Any:
        """To that endpoint."""
        from afield import Executor

        return Executor(endpoint_id, user_endpoint_config={"max_workers": workers})

    def version(self) -> str:
        """Afield's."""
        return f"afield {version('afield')}"


if __name__ == "__main__":
    main(Ours())
