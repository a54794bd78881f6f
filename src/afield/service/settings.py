"""What a service is told when it starts: one record, each field documented where it is declared."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["Limits", "Settings"]

_MB = 1_000_000
_DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much, how long."""

    #: bytes of one request's body; a batch larger than this is refused while it is read
    request_bytes: int = 256 * _MB
    #: bytes of one task's serialized arguments (the published limit)
    payload_bytes: int = 10 * _MB
    #: bytes of one function's code
    function_bytes: int = 10 * _MB
    #: tasks in one submit
    submit_tasks: int = 10_000
    #: tasks that one request may ask about, or cancel
    status_tasks: int = 10_000
    #: seconds that a submit waits for a user endpoint to come up before the task is queued for it instead. Well under
    #: 60: clients give up then, and send the submit again (reference: wire contract section 8.5)
    start_wait_s: float = 20.0
    #: seconds for which a repeated submit is recognised by its key (reference: wire contract section 3.1)
    repeat_s: float = 120.0
    #: seconds for which an endpoint that was stopped remotely may not register
    lock_s: float = 60.0
    #: seconds for which a client's queue login lets it connect; each connect asks for a new one
    client_login_s: float = 3600.0
    #: seconds after which tasks are forgotten: ended ones from their end, and waiting ones fail
    retention_s: float = 14 * _DAY
    #: seconds between two looks for what is too old
    sweep_s: float = 3600.0
    #: seconds between two looks for user endpoints that went without a word while tasks wait for them, or a wish to
    #: cancel one
    watch_s: float = 10.0
    #: seconds for which requests that are under way may go on when the service stops
    goodbye_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One service."""

    #: where everything is kept: database, large values, the service's secret
    data_dir: Path
    #: address to listen on, for HTTP and for the queues
    host: str = "127.0.0.1"
    #: port for HTTP; 0: a free one. 5000 is where published clients look (reference: wire contract section 1.1)
    port: int = 5000
    #: port for the queues; 0: a free one. One that is taken is stepped over
    amqp_port: int = 5672
    #: the host that others are told to reach; None: ``host``, or this machine's name when that listens everywhere
    public_host: str | None = None
    #: where records are kept: a URL for :func:`afield.service.store.factory.open_store`; None: SQLite in ``data_dir``
    database: str | None = None
    #: who carries the queues; there is one kind so far
    broker: Literal["embedded"] = "embedded"
    #: debug, info, warning or error
    log_level: str = "warning"
    #: how much, how long
    limits: Limits = field(default_factory=Limits)
