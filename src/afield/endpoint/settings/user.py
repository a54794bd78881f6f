"""A rendered user template: how one user endpoint works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from afield.endpoint.settings.engines import AnyEngineSettings, ProcessPoolSettings, engine_settings
from afield.endpoint.settings.kinds import Count, Flag, Ids, Period, Text
from afield.endpoint.settings.reading import check, shown, with_least_period
from afield.errors import ConfigurationError

if TYPE_CHECKING:
    from afield.endpoint.host.marked import Document

__all__ = ["UserSettings", "user_settings"]


class UserSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A rendered user template: how one user endpoint works."""

    engine: AnyEngineSettings = ProcessPoolSettings()
    #: how people see it
    display_name: Text | None = None
    #: seconds between two signs of life
    heartbeat_period: Period = 30.0
    #: end after this many heartbeats without a task; 0: stay until somebody ends it
    idle_heartbeats_soft: Count = 10
    #: end after this many heartbeats in which no task came and none finished, though there are some; only if the
    #: other is not 0 (published)
    idle_heartbeats_hard: Count = 5760
    #: shell commands to run before the first task; they must succeed
    endpoint_setup: Text | None = None
    #: shell commands to run at the end
    endpoint_teardown: Text | None = None
    #: ids of the only functions that may run; a list in the manager's file takes its place
    allowed_functions: Ids | None = None
    #: log everything
    debug: Flag = False


_OWNERS: Final = "it belongs in config.yaml, and holds for all user endpoints"
#: Keys of published endpoints that have no effect here -> what holds instead.
_UNUSED: Final = {
    "admins": _OWNERS,
    "amqp_port": _OWNERS,
    "authentication_policy": _OWNERS,
    "detach_endpoint": "a user endpoint always runs beside its manager",
    "environment": "a user endpoint belongs to the service of its manager",
    "heartbeat_threshold": "a connection that is gone is noticed without it",
    "high_assurance": _OWNERS,
    "local_compute_services": _OWNERS,
    "log_dir": "a user endpoint logs into its own directory",
    "paths": "a user endpoint logs into its own directory",
    "stderr": "a user endpoint logs into its own directory",
    "stdout": "a user endpoint logs into its own directory",
    "subscription_id": "nothing here needs a subscription",
}


def user_settings(document: Document) -> tuple[UserSettings, list[str]]:
    """A user endpoint's record and warnings, one line each.

    :raises ConfigurationError: with file, line and key
    """
    data, warnings = with_least_period(document, document.data)
    block = data.pop("engine", None) or {}
    values, more = check(UserSettings, document, (), data, unused=_UNUSED)
    if not isinstance(block, dict):
        raise ConfigurationError(
            f"{document.at(('engine',))}: engine should be a block of keys such as `type: ProcessPoolEngine`, "
            f"and is {shown(block)}"
        )
    engine, most = engine_settings(document, block)
    return UserSettings(engine=engine, **values), warnings + more + most
