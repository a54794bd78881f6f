"""The one place where concrete classes of an endpoint meet: engines by their name, queues by their address, the manager
from an owner's files.

Each import happens when its class is wanted, so that a user endpoint's process starts with only what it uses.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from afield.broker.base import Connector
from afield.endpoint.engines.base import Engine
from afield.endpoint.settings import (
    AnyEngineSettings,
    ExecutorSettings,
    HtexSettings,
    LendingSettings,
    ManagerSettings,
    MpiSettings,
    ProcessPoolSettings,
    ThreadPoolSettings,
)
from afield.errors import ConfigurationError
from afield.ids import parse_id

if TYPE_CHECKING:
    from afield.endpoint.host.directory import EndpointDirectory
    from afield.endpoint.host.registration import Registered, ServiceAccess
    from afield.endpoint.manager.loop import Manager
    from afield.sdk.login.source import Authorizer

__all__ = ["connector", "engine", "lent", "manager", "registered"]


def engine(settings: AnyEngineSettings, directory: Path, places: Mapping[str, str] | None = None) -> Engine:
    """The engine of a user endpoint.

    :param directory: the user endpoint's, in which its working directory is and its workers' log
    :param places: where keys of the engine block stand, for complaints: key path -> ``file, line N``
    :raises ConfigurationError: it cannot work here as it is configured
    """
    working_dir = directory / settings.working_dir
    match settings:
        case ProcessPoolSettings():
            from afield.endpoint.engines.process import ProcessPoolEngine
            from afield.worker import trees

            log = directory / "workers.log"
            return ProcessPoolEngine(
                max_workers=settings.max_workers,
                max_tasks_per_child=settings.max_tasks_per_child,
                cpu_affinity=settings.cpu_affinity,
                accelerators=_names(settings.available_accelerators),
                working_dir=working_dir,
                log=log,
                environment={trees.ENDPOINT: str(directory)},
            )
        case ThreadPoolSettings():
            from afield.endpoint.engines.thread import ThreadPoolEngine

            return ThreadPoolEngine(
                max_workers=settings.max_workers, working_dir=working_dir, prefix=settings.thread_name_prefix
            )
        case ExecutorSettings():
            from afield.endpoint.engines.executor import ExecutorEngine, find_factory
            from afield.endpoint.settings.engines import ENGINE_GROUP

            return ExecutorEngine(
                find_factory(settings.executor, ENGINE_GROUP),
                settings.arguments,
                name=settings.executor,
                max_workers=settings.max_workers,
                working_dir=working_dir,
            )
        case HtexSettings():
            if find_spec("parsl") is None:
                raise ConfigurationError(
                    f"engine.type {settings.type} needs Parsl, which is not installed here: run "
                    "`pip install 'afield[parsl]'` in the endpoint's Python environment and in the workers'"
                )
            from afield.endpoint.engines.parsl.engine import HtexEngine
            from afield.endpoint.engines.parsl.watch import Watch

            watch = Watch(settings, directory)
            if isinstance(settings, MpiSettings):
                from afield.endpoint.engines.parsl.mpi import MpiEngine

                return MpiEngine(settings, directory, places, watch)
            return HtexEngine(settings, directory, places, watch)


def _names(accelerators: int | Sequence[int | str]) -> list[str]:
    """A number of accelerators means those that are counted from 0 up, as their makers do."""
    return [str(name) for name in (range(accelerators) if isinstance(accelerators, int) else accelerators)]


def lent(engine: Engine, settings: LendingSettings, directory: Path, endpoint_id: str, person: str) -> Engine:
    """An engine that asks the rules of a machine's owner before each task.

    :param directory: the user endpoint's; what was used is kept beside it, for all user endpoints of the person
    :param endpoint_id: of the endpoint whose rules they are
    :param person: the id of whoever submits
    """
    from afield.endpoint.engines.lent import LentEngine
    from afield.endpoint.engines.usage import Usage

    usage = Usage(directory.parent / "usage", f"{parse_id(endpoint_id, 'endpoint')}.{parse_id(person, 'identity')}")
    return LentEngine(engine, settings, usage, time.time)


def connector() -> Connector:
    """What reaches queues whose address begins with ``amqp``."""
    from afield.broker.amqp import AmqpConnector

    return AmqpConnector()


async def registered(
    directory: EndpointDirectory, settings: ManagerSettings, service: ServiceAccess, endpoint_id: str | None = None
) -> Registered:
    """Look at an owner's files, and register the endpoint.

    :param endpoint_id: the id that it shall have; None: the one it had before, else a new one
    :raises ServiceError: the service cannot be reached, or refused
    :raises ConfigurationError: the template or its schema is wrong, or the token is
    """
    from afield.endpoint.engines.lending import zone_of
    from afield.endpoint.host import registration
    from afield.endpoint.manager.owner import read_environment, read_template
    from afield.endpoint.manager.tenancy import Tenancy

    template = read_template(directory, settings)
    read_environment(directory)  # what is wrong with it is told now, not when somebody submits
    maps = Tenancy.of(directory, settings, "", time.time) is not None  # what is wrong with the mapping, likewise
    zone_of(settings.lending)
    request = registration.registration(directory, settings, template.text, template.schema, multi_user=maps)
    async with registration.open_transport(service) as transport:
        return await registration.register(transport, directory, request, endpoint_id)


async def manager(
    directory: EndpointDirectory,
    settings: ManagerSettings,
    *,
    service_url: str,
    token: str | None = None,
    authorizer: Authorizer | None = None,
    endpoint_id: str | None = None,
    command: Sequence[str] | None = None,
) -> Manager:
    """Register an endpoint, and make the manager that runs it::

        directory = endpoint_directory("mine")
        settings, warnings = read_settings(directory)
        manager = await assemble.manager(directory, settings, service_url=url, token=token)
        await manager.run(stop)

    :param directory: its files
    :param settings: what its owner decided
    :param service_url: the service
    :param token: opens it; whose token it is owns the endpoint
    :param authorizer: opens it instead of a token
    :param endpoint_id: the id that it shall have; None: the one it had before, else a new one
    :param command: how user endpoints are started; None: as usual
    :raises ServiceError: the service cannot be reached, or refused
    :raises ConfigurationError: the template or its schema is wrong, or the token is
    """
    from afield.endpoint.host.registration import ServiceAccess
    from afield.endpoint.manager.loop import Manager
    from afield.endpoint.manager.spawn import COMMAND
    from afield.sdk.login.source import BearerToken

    service = ServiceAccess(service_url, authorizer or BearerToken(token))
    found = await registered(directory, settings, service, endpoint_id)
    return Manager(directory, settings, found, connector(), command=command or COMMAND)
