"""PURE: whether a machine is lent to somebody, and for what engine, by its owner's rules. The clock is handed in.

Rules for single tasks (hours, code, what was used today) are in :mod:`afield.endpoint.engines.lending`; the hours are
looked at here too, so that nobody's user endpoint starts for nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from afield.endpoint.engines.lending import closed, zone_of
from afield.endpoint.settings import (
    AnyEngineSettings,
    ExecutorSettings,
    HtexSettings,
    LendingSettings,
    MpiSettings,
    ProcessPoolSettings,
    ThreadPoolSettings,
)
from afield.wire.commands import StartCommand

__all__ = ["Lending", "engine_refusal", "rules_for_tasks"]


@dataclass(frozen=True, slots=True)
class _Person:
    names: frozenset[str]
    groups: frozenset[str]


class Lending:
    """The owner's rules, as a manager asks them.

    :param settings: the owner's
    :raises ConfigurationError: the time zone is not known
    """

    def __init__(self, settings: LendingSettings) -> None:
        self._settings = settings
        self._zone: tzinfo | None = zone_of(settings)
        self._people = frozenset(name.lower() for name in settings.people)
        self._groups = frozenset(group.lower() for group in settings.groups)

    def refusal(self, command: StartCommand, now: float) -> str | None:
        """Why nothing may run for whoever is behind a command, for them; None: it may.

        :param now: unix seconds
        """
        person = _person(command)
        chosen = bool(self._people or self._groups)
        if chosen and self._people.isdisjoint(person.names) and self._groups.isdisjoint(person.groups):
            return (
                f"the owner of this machine does not lend it to {command.globus_username}: ask to be added to "
                "lending.people, or to one of the groups in lending.groups"
            )
        return closed(self._settings, datetime.fromtimestamp(now, self._zone).astimezone(self._zone))


def _person(command: StartCommand) -> _Person:
    names = {command.globus_effective_identity.lower(), command.globus_username.lower()}
    for identity in command.globus_identity_set:
        names.update(str(identity[key]).lower() for key in ("sub", "username") if isinstance(identity.get(key), str))
    groups = command.groups if isinstance(command.groups, list) else []
    return _Person(frozenset(names), frozenset(group.lower() for group in groups))


def rules_for_tasks(settings: LendingSettings) -> LendingSettings | None:
    """What an agent has to ask about each task; None: nothing."""
    each = (settings.function_digests, settings.tasks_per_day, settings.cpu_hours_per_day)
    return settings if settings.hours or any(rule is not None for rule in each) else None


def engine_refusal(settings: LendingSettings, engine: AnyEngineSettings, processors: int) -> str | None:
    """Why a rendered template asks for more than the owner lends, for whoever submitted; None: it does not.

    :param processors: of this machine
    """
    asked, most = _workers(engine, processors), settings.max_workers
    if most is not None and (asked is None or asked > most):
        many = "as many workers as there is room for" if asked is None else f"{asked} workers"
        return _too_much(many, f"{most}", "max_workers")
    if isinstance(engine, HtexSettings):
        return _refusal_of_blocks(settings, engine)
    return None


def _refusal_of_blocks(settings: LendingSettings, engine: HtexSettings) -> str | None:
    memory, most = engine.mem_per_worker, settings.max_memory_gb
    if most is not None and (memory is None or memory > most):
        asked = "workers without a bound of memory (mem_per_worker)" if memory is None else f"{memory:g} GB a worker"
        return _too_much(asked, f"{most:g} GB", "max_memory_gb")
    if settings.max_walltime is None:
        return None
    walltime = (engine.provider or {}).get("walltime")
    if _seconds(walltime) is None or (_seconds(walltime) or 0) > (_seconds(settings.max_walltime) or 0):
        asked = "blocks without a walltime that is HH:MM:SS" if _seconds(walltime) is None else f"blocks of {walltime}"
        return _too_much(asked, settings.max_walltime, "max_walltime")
    return None


def _too_much(asked: str, most: str, key: str) -> str:
    return (
        f"with these options the template of this endpoint asks for {asked}, and the owner of this machine lends at "
        f"most {most} (lending.{key}): ask for less in user_endpoint_config"
    )


def _workers(engine: AnyEngineSettings, processors: int) -> int | None:
    """How many workers there can be at once; None: nobody knows."""
    match engine:
        case ProcessPoolSettings() | ThreadPoolSettings():
            return engine.max_workers or processors
        case ExecutorSettings():
            return engine.max_workers
        case MpiSettings():
            return _product(engine.max_workers_per_block, _of(engine.provider, "max_blocks"))
        case HtexSettings():
            each, nodes = engine.max_workers_per_node, _of(engine.provider, "nodes_per_block")
            return _product(each, nodes, _of(engine.provider, "max_blocks"))


def _of(provider: Mapping[str, Any] | None, key: str) -> int | None:
    """A number of the provider; those of Parsl have one block of one node where they are not told."""
    value = (provider or {}).get(key, 1)
    return value if isinstance(value, int) else None


def _product(*counts: int | None) -> int | None:
    product = 1
    for count in counts:
        if count is None:
            return None
        product *= count
    return product


def _seconds(walltime: Any) -> int | None:
    parts: Collection[str] = walltime.split(":") if isinstance(walltime, str) else ()
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        return None
    hours, minutes, seconds = map(int, parts)
    return hours * 3600 + minutes * 60 + seconds
