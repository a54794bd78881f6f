"""What an endpoint is told in its files: one record for the manager, one for each user endpoint.

A file becomes a record in :func:`manager_settings` and :func:`user_settings`, and nowhere else. Whatever is wrong is
told with file, line and key, and with what would be right. Keys that the published endpoint knows and this one does not
use are accepted with a warning, so that a file may move from there to here; a key that nobody knows is an error, for
it is nearly always a slip of the pen.

The records are light: a user endpoint's process reads them without a YAML reader or a validation library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, get_type_hints

import msgspec
from msgspec import Meta

from afield.errors import ConfigurationError

if TYPE_CHECKING:
    from afield.endpoint.host.marked import Document, KeyPath

__all__ = ["ENGINE_TYPES", "EngineSettings", "ManagerSettings", "UserSettings", "manager_settings", "user_settings"]

#: The engines that are here, by the name that a file gives.
ENGINE_TYPES: Final = ("ProcessPoolEngine", "ThreadPoolEngine")

# The description of a type is what a complaint says after "should be"; keep them in step.
_Text = Annotated[str, Meta(description="text")]
_Flag = Annotated[bool, Meta(description="true or false")]
_Count = Annotated[int, Meta(ge=0, description="a whole number from 0 up")]
_Some = Annotated[int, Meta(ge=1, description="a whole number from 1 up")]
_Port = Annotated[int, Meta(ge=1, le=65535, description="a port number from 1 to 65535")]
_Period = Annotated[float, Meta(ge=5, le=86_400, description="a number of seconds from 5 to 86400")]
_Seconds = Annotated[float, Meta(ge=0, le=86_400, description="a number of seconds from 0 to 86400")]
_Accelerators = Annotated[
    Annotated[int, Meta(ge=0, le=1024)] | tuple[int | str, ...],
    Meta(description='how many accelerators there are, up to 1024, or a list of their names such as ["0", "1"]'),
]
_Names = Annotated[tuple[str, ...], Meta(description="a list of texts")]
_Id = Annotated[
    str,
    Meta(pattern="^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$", description="an id"),
]
_Ids = Annotated[tuple[_Id, ...], Meta(description="a list of ids like 4b116d3c-1703-4f8f-9f6f-39921e5864df")]


class ManagerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``config.yaml``: what the owner of a machine decides."""

    #: how people see this endpoint; the default is its name
    display_name: _Text | None = None
    #: the service to register with; the default is AFIELD_SERVICE_URL, else the one that runs on this machine
    service_url: _Text | None = None
    #: reach the queues on this port, whatever the service says
    amqp_port: _Port | None = None
    #: seconds between two signs of life; the service calls an endpoint offline after two or three missed ones
    heartbeat_period: _Period = 30.0
    #: ids of the only functions that may run here
    allowed_functions: _Ids | None = None
    #: others may find it; running on it is another matter
    public: _Flag = False
    #: identity ids of those who may manage it beside the owner
    admins: _Ids = ()
    #: the id of the authentication policy, at the service, that everybody who runs tasks here must satisfy
    authentication_policy: _Id | None = None
    #: results are not streamed, but given only to who satisfies the policy when they ask for them
    high_assurance: _Flag = False
    #: log everything
    debug: _Flag = False
    #: where logs go; the default is the endpoint's directory
    log_dir: _Text | None = None
    #: the template of user endpoints, if it is not beside this file
    user_config_template_path: _Text | None = None
    #: the JSON schema of the template's options, if it is not beside this file
    user_config_schema_path: _Text | None = None
    #: a user endpoint that ends by itself within this many seconds of a start command is started again
    mu_child_ep_grace_period_s: _Seconds = 30.0


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The ``engine`` block of a user endpoint: where its tasks run."""

    #: one of :data:`ENGINE_TYPES`
    type: _Text = "ProcessPoolEngine"
    #: workers; the default is one for each processor
    max_workers: _Some | None = None
    #: how many accelerators tasks may ask for, or their names as CUDA_VISIBLE_DEVICES has them; ProcessPoolEngine only
    available_accelerators: _Accelerators = ()
    #: the directory in which tasks run, absolute or below the user endpoint's
    working_dir: _Text = "tasks_working_dir"
    #: each task in a directory of its own below working_dir
    run_in_sandbox: _Flag = False
    #: the only strategies that workers may read, by import path; the default is all
    allowed_serializers: _Names | None = None
    #: the longest serialized result that may go back, in characters
    result_size_limit: _Some = 10 * 1024 * 1024


class UserSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A rendered user template: how one user endpoint works."""

    engine: EngineSettings = EngineSettings()
    #: how people see it
    display_name: _Text | None = None
    #: seconds between two signs of life
    heartbeat_period: _Period = 30.0
    #: end after this many heartbeats without a task; 0: stay until somebody ends it
    idle_heartbeats_soft: _Count = 10
    #: end after this many heartbeats in which no task came and none finished, though there are some; only if the
    #: other is not 0 (published)
    idle_heartbeats_hard: _Count = 5760
    #: shell commands to run before the first task; they must succeed
    endpoint_setup: _Text | None = None
    #: shell commands to run at the end
    endpoint_teardown: _Text | None = None
    #: ids of the only functions that may run; a list in the manager's file takes its place
    allowed_functions: _Ids | None = None
    #: log everything
    debug: _Flag = False


#: Keys of the published endpoint that have no effect here.
_UNUSED_MANAGER: Final = frozenset({
    "amqp_credentials", "audit_log_path", "detach_endpoint", "email", "environment", "force_mt_allow_same_user",
    "heartbeat_threshold", "identity_mapping_config_path", "local_compute_services", "multi_user", "pam", "stderr",
    "stdout", "subscription_id",
})  # fmt: skip
_UNUSED_USER: Final = frozenset({
    "amqp_port", "detach_endpoint", "environment", "heartbeat_threshold", "high_assurance", "local_compute_services",
    "log_dir", "stderr", "stdout", "subscription_id",
})  # fmt: skip
_UNUSED_ENGINE: Final = frozenset({
    "encrypted", "endpoint_id", "heartbeat_period_s", "initializer", "label", "max_retries_on_system_failure",
    "max_tasks_per_child", "strategy", "thread_name_prefix",
})  # fmt: skip


def manager_settings(document: Document) -> tuple[ManagerSettings, list[str]]:
    """The manager's record and warnings for its reader, one line each.

    :raises ConfigurationError: with file, line and key
    """
    if "engine" in document.data:
        raise ConfigurationError(
            f"{document.at(('engine',))}: an engine block belongs in the template of user endpoints, "
            "user_config_template.yaml.j2, beside this file: move it there"
        )
    values, warnings = _check(ManagerSettings, document, (), document.data, _UNUSED_MANAGER)
    return ManagerSettings(**values), warnings


def user_settings(document: Document) -> tuple[UserSettings, list[str]]:
    """A user endpoint's record and warnings, one line each.

    :raises ConfigurationError: with file, line and key
    """
    data = dict(document.data)
    block = data.pop("engine", None) or {}
    values, warnings = _check(UserSettings, document, (), data, _UNUSED_USER)
    if not isinstance(block, dict):
        raise ConfigurationError(
            f"{document.at(('engine',))}: engine should be a block of keys such as `type: ProcessPoolEngine`, "
            f"and is {_shown(block)}"
        )
    _check_engine_type(document, block)
    engine, more = _check(EngineSettings, document, ("engine",), block, _UNUSED_ENGINE)
    return UserSettings(engine=EngineSettings(**engine), **values), warnings + more


def _check_engine_type(document: Document, block: Mapping[str, Any]) -> None:
    name = block.get("type", EngineSettings().type)
    if name not in ENGINE_TYPES:
        raise ConfigurationError(
            f"{document.at(('engine', 'type'))}: engine.type {_shown(name)} is not an engine that is installed here: "
            f"write one of {', '.join(ENGINE_TYPES)}{_did_you_mean(str(name), ENGINE_TYPES)}"
        )


def _check(
    record: type[msgspec.Struct], document: Document, path: KeyPath, block: Mapping[Any, Any], unused: frozenset[str]
) -> tuple[dict[str, Any], list[str]]:
    """Check a block key by key against the fields of ``record``; its values and warnings."""
    fields = get_type_hints(record, include_extras=True)
    values: dict[str, Any] = {}
    warnings: list[str] = []
    for key, value in block.items():
        here = (*path, str(key))
        name, where = ".".join(map(str, here)), document.at(here)
        if key in fields:
            if value is not None:  # `key:` with nothing behind it is a key that is not set, as templates often render
                values[str(key)] = _convert(value, fields[key], f"{where}: {name}")
        elif key in unused:
            warnings.append(f"{where}: {name} has no effect in this version")
        else:
            known = [*fields, *unused]
            raise ConfigurationError(f"{where}: nobody knows the key {name}{_did_you_mean(str(key), known)}")
    return values, warnings


def _convert(value: Any, kind: Any, what: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{what} should be {_expected(kind)}, and is {_shown(value)}") from error


def _expected(kind: Any) -> str:
    """The description of an annotated type, looking through ``| None``."""
    for part in (kind, *getattr(kind, "__args__", ())):
        for meta in getattr(part, "__metadata__", ()):
            if isinstance(meta, Meta) and meta.description:
                return meta.description
    return str(kind)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _did_you_mean(word: str, known: tuple[str, ...] | list[str]) -> str:
    import difflib  # only a slip of the pen needs it

    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
