"""A rendered user template: how one user endpoint works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from afield.endpoint.settings.engines import AnyEngineSettings, ProcessPoolSettings, engine_settings
from afield.endpoint.settings.kinds import Count, Flag, Ids, Period, Text
from afield.endpoint.settings.reading import check, shown
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


#: Keys of the published endpoint that have no effect here.
_UNUSED: Final = frozenset({
    "amqp_port", "detach_endpoint", "environment", "heartbeat_threshold", "high_assurance", "local_compute_services",
    "log_dir", "stderr", "stdout", "subscription_id",
})  # fmt: skip


def user_settings(document: Document) -> tuple[UserSettings, list[str]]:
    """A user endpoint's record and warnings, one line each.

    :raises ConfigurationError: with file, line and key
    """
    data = dict(document.data)
    block = data.pop("engine", None) or {}
    values, warnings = check(UserSettings, document, (), data, unused=_UNUSED)
    if not isinstance(block, dict):
        raise ConfigurationError(
            f"{document.at(('engine',))}: engine should be a block of keys such as `type: ProcessPoolEngine`, "
            f"and is {shown(block)}"
        )
    engine, more = engine_settings(document, block)
    return UserSettings(engine=engine, **values), warnings + more
