"""``config.yaml``: what the owner of a machine decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from afield.endpoint.settings.accounts import PamSettings, UserLimits
from afield.endpoint.settings.kinds import Count, Flag, Id, Ids, Period, Port, Seconds, Text
from afield.endpoint.settings.lending import LendingSettings
from afield.endpoint.settings.reading import check, checked_block, with_least_period
from afield.errors import ConfigurationError

if TYPE_CHECKING:
    from afield.endpoint.host.marked import Document

__all__ = ["USER_KEYS", "ManagerSettings", "manager_settings"]


class ManagerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``config.yaml``: what the owner of a machine decides."""

    #: how people see this endpoint; the default is its name
    display_name: Text | None = None
    #: the service to register with; the default is AFIELD_SERVICE_URL, else the one that runs on this machine
    service_url: Text | None = None
    #: the service is http://localhost:5000, unless service_url says another
    local_compute_services: Flag = False
    #: reach the queues on this port, whatever the service says
    amqp_port: Port | None = None
    #: seconds between two signs of life; the service calls an endpoint offline after two or three missed ones
    heartbeat_period: Period = 30.0
    #: ids of the only functions that may run here
    allowed_functions: Ids | None = None
    #: others may find it; running on it is another matter
    public: Flag = False
    #: identity ids of those who may manage it beside the owner
    admins: Ids = ()
    #: the id of the authentication policy, at the service, that everybody who runs tasks here must satisfy
    authentication_policy: Id | None = None
    #: results are not streamed, but given only to who satisfies the policy when they ask for them
    high_assurance: Flag = False
    #: log everything
    debug: Flag = False
    #: where logs go; the default is the endpoint's directory
    log_dir: Text | None = None
    #: the template of user endpoints, if it is not beside this file
    user_config_template_path: Text | None = None
    #: the JSON schema of the template's options, if it is not beside this file
    user_config_schema_path: Text | None = None
    #: a user endpoint that ends by itself within this many seconds of a start command is started again
    mu_child_ep_grace_period_s: Seconds = 30.0
    #: a user endpoint that died so often in a row soon after its start is not started any more; 0: it is, for ever
    start_deaths_most: Count = 3
    #: seconds that a user endpoint must have lived for its death not to count
    start_proven_after: Seconds = 60.0
    #: seconds without starting it, until it is started once to try
    start_pause: Seconds = 300.0
    #: user endpoints that anybody but the owner may have here at once; 0: as many as they like
    user_endpoints_most: Count = 20
    #: where a line is written for each step of each task; with high_assurance, audit.log in the endpoint's directory if
    #: nothing is said here. Without it the endpoint does not run
    audit_log_path: Text | None = None
    #: whom people may write to about this endpoint; required where identities are mapped
    email: Text | None = None
    #: the rules by which identities are accounts of this machine; as root only. Read again when it changes
    identity_mapping_config_path: Text | None = None
    #: an identity may be mapped to the account that runs the manager; never to root
    force_mt_allow_same_user: Flag = False
    #: PAM sessions for the user endpoints of mapped identities
    pam: PamSettings = PamSettings()
    #: what the processes of each mapped account may use at most
    user_limits: UserLimits = UserLimits()
    #: rules for those to whom the machine is lent
    lending: LendingSettings = LendingSettings()


#: Keys that stood in this file when an endpoint had one file only, and belong in the template of user endpoints.
USER_KEYS: Final = frozenset({
    "endpoint_setup", "endpoint_teardown", "engine", "heartbeat_threshold", "idle_heartbeats_hard",
    "idle_heartbeats_soft",
})  # fmt: skip

#: Where published endpoints look for a service of one's own.
_LOCAL_SERVICE: Final = "http://localhost:5000"

#: Keys of published endpoints that have no effect here -> what holds instead.
_UNUSED: Final = {
    "amqp_credentials": "the service gives them to the endpoint when it registers",
    "detach_endpoint": "`afield endpoint start --detach` runs it in the background",
    "environment": "it chooses among services that others run; which one is used here, service_url says",
    "funcx_service_address": "which service is used, service_url says",
    "heartbeat_threshold": "a connection that is gone is noticed without it",
    "multi_user": "an endpoint is for many users if root starts it and identity_mapping_config_path is set",
    "paths": "where its logs go, log_dir says",
    "stderr": "where its logs go, log_dir says",
    "stdout": "where its logs go, log_dir says",
    "subscription_id": "nothing here needs a subscription",
}

#: Keys whose values are blocks with keys of their own.
_BLOCKS: Final[dict[str, type[msgspec.Struct]]] = {
    "pam": PamSettings, "user_limits": UserLimits, "lending": LendingSettings,
}  # fmt: skip


def manager_settings(document: Document) -> tuple[ManagerSettings, list[str]]:
    """The manager's record and warnings for its reader, one line each.

    :raises ConfigurationError: with file, line and key
    """
    if "engine" in document.data:
        raise ConfigurationError(
            f"{document.at(('engine',))}: an engine block belongs in the template of user endpoints, "
            f"user_config_template.yaml.j2, beside this file: move it there{_movers(document)}, or have "
            "`afield endpoint migrate-to-template-capable` do so"
        )
    data, warnings = with_least_period(document, document.data)
    blocks: dict[str, Any] = {}
    for key, record in _BLOCKS.items():
        block = data.pop(key, None)
        if block is not None:
            blocks[key], more = checked_block(record, document, key, block)
            warnings += more
    values, more = check(ManagerSettings, document, (), data, unused=_UNUSED)
    if values.get("local_compute_services"):
        values.setdefault("service_url", _LOCAL_SERVICE)
    return ManagerSettings(**values, **blocks), warnings + more


def _movers(document: Document) -> str:
    """Which other keys of an old file belong in the template too, for the middle of a sentence."""
    others = [key for key in document.data if key in USER_KEYS and key != "engine"]
    return f" with {', '.join(others)}" if others else ""
