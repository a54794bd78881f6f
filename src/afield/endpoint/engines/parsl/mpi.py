"""GlobusMPIEngine: each task gets as many nodes of a block as its ``resource_specification`` asks for.

Tasks travel alone. A worker on the first node of the block runs the task's function, which starts its ranks with what
it finds in ``PARSL_MPI_PREFIX``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afield.endpoint.engines.parsl.engine import HtexEngine
from afield.endpoint.engines.parsl.ranks import ranks_of, refuse_options
from afield.endpoint.settings.engines import MpiSettings
from afield.wire.jobs import Job

if TYPE_CHECKING:
    from afield.endpoint.engines.parsl.htex import BlockWatch

__all__ = ["MpiEngine"]


class MpiEngine(HtexEngine):
    """Runs jobs on Parsl's MPIExecutor.

    :param settings: the ``engine`` block
    :param directory: the user endpoint's
    :param places: where keys of the block stand: key path -> ``file, line N``
    :param watch: keeps blocks from being asked for in vain; None: nobody does
    """

    alone = True

    def __init__(
        self,
        settings: MpiSettings,
        directory: Path,
        places: Mapping[str, str] | None = None,
        watch: BlockWatch | None = None,
    ) -> None:
        super().__init__(settings, directory, places, watch)

    def demand(self) -> int:
        """For scaling: nodes. A task that keeps others from its block's workers counts as what it keeps from them."""
        nodes, workers = self._nodes, self._plant.htex.workers_per_pool
        asked = (ranks_of(call.job, nodes).nodes for call in self._register.all())
        return math.ceil(sum(max(count, nodes / workers) for count in asked))

    @property
    def _nodes(self) -> int:
        """Of a block."""
        return int(self._plant.provider.nodes_per_block)

    def _check(self, job: Job) -> None:
        refuse_options(job)
        ranks_of(job, self._nodes)

    def _context(self, _jobs: Sequence[Job]) -> dict[str, Any]:
        [job] = _jobs
        return {**super()._context(_jobs), "resource_spec": ranks_of(job, self._nodes).context}
