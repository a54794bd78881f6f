"""Parsl's side of an engine: made, started, ended. All of it blocks, and belongs into a thread."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from afield.endpoint.engines.parsl.losses import refuse
from afield.endpoint.engines.parsl.packing import versions
from afield.endpoint.engines.place import memory
from afield.endpoint.settings.engines import HtexSettings, MpiSettings
from afield.errors import ConfigurationError
from afield.wire.jobs import Job
from afield.worker.bundle_records import Versions
from afield.worker.environment import version_of

if TYPE_CHECKING:
    from parsl.jobs.job_status_poller import JobStatusPoller

    from afield.endpoint.engines.parsl.htex import BlockWatch, FedHtex, Owner

__all__ = ["Plant"]

#: More memory than any node has, in bytes: where nobody knows how much one has.
_UNKNOWN_MEMORY: Final = 1 << 50


class Plant:
    """Parsl's executor, the thread that scales, and who keeps that from asking for blocks in vain.

    :param settings: the ``engine`` block
    :param directory: the user endpoint's
    :param places: where keys of the block stand: key path -> ``file, line N``
    :param owner: whose it is
    :param watch: keeps blocks from being asked for in vain; None: nobody does
    """

    #: after :meth:`make`
    htex: FedHtex
    #: Parsl's provider, of a class that the owner of the endpoint chose
    provider: Any
    #: what this endpoint has
    versions: Versions

    def __init__(
        self,
        settings: HtexSettings,
        directory: Path,
        places: Mapping[str, str],
        owner: Owner,
        watch: BlockWatch | None = None,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._places = places
        self._owner = owner
        self._poller: JobStatusPoller | None = None
        self._watch = watch
        self._made = False

    @property
    def pools_most(self) -> int:
        """How many there are if all blocks come."""
        return int(self.provider.max_blocks) * self.htex.pools_per_block

    def make(self) -> Any:
        """Load Parsl and make its objects; the provider.

        :raises ConfigurationError: something is wrong with the configuration
        """
        from afield.endpoint.engines.parsl import htex

        try:
            htex.tidy_up(self._directory)
        except OSError as error:
            raise ConfigurationError(f"the engine cannot use {error.filename}: {error.strerror}") from error
        if isinstance(self._settings, MpiSettings):
            from afield.endpoint.engines.parsl.mpi_executor import make_mpi

            self.htex = make_mpi(self._settings, self._directory, self._places, self._owner)
        else:
            self.htex = htex.make_htex(self._settings, self._directory, self._places, self._owner)
        self.htex.watch = self._watch
        self.provider = self.htex.provider
        if self._watch is not None:
            self._watch.mark(self.provider)
        self.versions = versions(htex.VERSION, version_of("afield"))
        self._start_poller = htex.make_poller(self._settings, self._places, self.htex)
        self._made = True
        return self.provider

    def start(self) -> None:
        """Start Parsl's processes, and ask for the first blocks.

        :raises ConfigurationError: they cannot be started
        """
        try:
            self.htex.start()  # type: ignore[no-untyped-call]
        except Exception as error:  # Parsl's, of any kind
            raise ConfigurationError(f"Parsl's executor cannot be started: {error}") from error
        self._poller = self._start_poller()

    def end(self) -> None:
        """End the blocks, then what is here."""
        from afield.endpoint.engines.parsl.htex import forget_keys

        if not self._made:
            return
        self._made = False
        if self._poller is not None:
            self._poller.close()
            self._poller = None
        self.htex.shutdown()
        forget_keys(self.htex)

    def check(self, job: Job, node_memory: int) -> None:
        """Refuse what no worker can be given.

        :param node_memory: bytes of the largest node that was seen, 0: none was
        :raises ConfigurationError: with the reason
        """
        if job.cores == 1 and not job.gpus and job.memory is None and not job.resource_specification:
            return
        is_local = type(self.provider).__name__ == "LocalProvider"
        refuse(
            job,
            cores=max(1, int(self._settings.cores_per_worker)),
            accelerators=min(1, len(self.htex.available_accelerators)),
            memory=node_memory or (memory() if is_local else _UNKNOWN_MEMORY),
        )

    def hopeless(self) -> str | None:
        """Why a task that waits will not run, for its submitter; None: it may."""
        return None if self._watch is None else self._watch.hopeless()

    def trouble(self) -> dict[str, Any]:
        """With blocks, for heartbeats; empty while all is well."""
        return {} if self._watch is None else self._watch.status()
