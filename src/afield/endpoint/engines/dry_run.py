"""What can be found out about an ``engine`` block before anything starts: everything, up to what only a start shows.

The records have seen to the keys of the block itself; here are those that somebody else knows: Parsl's providers,
launchers and addresses, executors of other packages. Their objects are made, as at a start, and dropped. Of a provider
that talks to somebody's cloud when it is made, only the keys are checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final

from afield.endpoint.settings import AnyEngineSettings, ExecutorSettings, HtexSettings, MpiSettings

__all__ = ["dry_run"]

#: Providers of Parsl that ask their cloud for something when they are made.
_CLOUDS: Final = frozenset({"AWSProvider", "AzureProvider", "GoogleCloudProvider"})


def dry_run(settings: AnyEngineSettings, places: Mapping[str, str]) -> list[str]:
    """Check an engine's settings; what could not be checked here, for people, one line each.

    :param places: where keys of the block stand: key path -> ``file, line N``
    :raises ConfigurationError: an engine with them would not start; with file, line and key
    """
    match settings:
        case ExecutorSettings():
            from afield.endpoint.engines.executor import find_factory
            from afield.endpoint.settings.engines import ENGINE_GROUP

            find_factory(settings.executor, ENGINE_GROUP)
        case HtexSettings() if find_spec("parsl") is None:
            why = f"engine.type {settings.type} needs Parsl, which is not installed here"
            return [f"{why}, so provider and address were not checked: run `pip install 'afield[parsl]'`"]
        case HtexSettings():
            _parsl(settings, places)
    return []


def _parsl(settings: HtexSettings, places: Mapping[str, str]) -> None:
    from afield.endpoint.engines.parsl.classes import Maker
    from afield.endpoint.engines.parsl.containers import wrapped
    from afield.endpoint.engines.parsl.htex import make_poller

    maker = Maker(places)
    provider: Mapping[str, Any] = settings.provider or {"type": "LocalProvider"}
    if isinstance(settings, MpiSettings):
        from afield.endpoint.engines.parsl.mpi_executor import mpi_provider

        provider = mpi_provider(maker, settings)
    if provider.get("type") in _CLOUDS:
        maker.check("engine.provider", provider)
    else:
        maker.make("engine.provider", provider)
    if isinstance(settings.address, Mapping):
        maker.make("engine.address", settings.address)
    if settings.container_type is not None:
        wrapped("", settings.container_type, settings.container_uri, settings.container_cmd_options, "")
    executor: Any = None  # which only a start needs
    make_poller(settings, places, executor)
