"""What an endpoint is told in its files: one record for the manager, one for each user endpoint and its engine.

A file becomes a record in :func:`manager_settings` and :func:`user_settings`, and nowhere else. Whatever is wrong is
told with file, line and key, and with what would be right.

The records are light: a user endpoint's process reads them without a YAML reader or a validation library.
"""

from __future__ import annotations

from afield.endpoint.settings.accounts import PamSettings, UserLimits
from afield.endpoint.settings.engines import (
    AnyEngineSettings,
    EngineSettings,
    ExecutorSettings,
    HtexSettings,
    MpiSettings,
    ProcessPoolSettings,
    ThreadPoolSettings,
    engine_types,
)
from afield.endpoint.settings.lending import LendingSettings
from afield.endpoint.settings.manager import ManagerSettings, manager_settings
from afield.endpoint.settings.published import plain_places
from afield.endpoint.settings.user import UserSettings, user_settings

__all__ = [
    "AnyEngineSettings",
    "EngineSettings",
    "ExecutorSettings",
    "HtexSettings",
    "LendingSettings",
    "ManagerSettings",
    "MpiSettings",
    "PamSettings",
    "ProcessPoolSettings",
    "ThreadPoolSettings",
    "UserLimits",
    "UserSettings",
    "engine_types",
    "manager_settings",
    "plain_places",
    "user_settings",
]
