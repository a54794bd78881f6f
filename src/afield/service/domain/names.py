"""The names of exchanges, queues and routing keys, and what each queue login may reach. All rules about them are here.

Queues that one party reads are bound with their own name as routing key to a direct exchange; what endpoints write goes
by ``<their id>.results`` and ``<their id>.heartbeats`` to a topic exchange, so that the service reads one queue and the
key says who wrote (a broker lets nobody write another's key).

A login says whose it is and of which *generation*: raising the generation of a record revokes every login made before.
Logins of clients carry their expiry instead, for each connect gets a new one, and what says by which token they were
asked for: they end with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from afield.broker.base import Binding, ExchangeKind, Permissions, QueueSpec

__all__ = [
    "CLIENTS",
    "COMMANDS",
    "EXCHANGES",
    "GROUPS",
    "HEARTBEATS",
    "RESULTS",
    "SHARED_QUEUES",
    "TASKS",
    "ClientLogin",
    "CoreLogin",
    "Login",
    "UserLogin",
    "command_queue",
    "control_queue",
    "group_of_queue",
    "group_prefix",
    "group_queue",
    "heartbeat_key",
    "parse_login",
    "permissions",
    "reader_of_queue",
    "result_key",
    "sender",
    "task_queue",
]

#: What the logins of clients begin with.
CLIENTS: Final = "sdk."

TASKS: Final = "tasks"
COMMANDS: Final = "commands"
RESULTS: Final = "results"
HEARTBEATS: Final = "heartbeats"
GROUPS: Final = "groups"

EXCHANGES: Final[dict[str, ExchangeKind]] = {
    TASKS: "direct",
    COMMANDS: "direct",
    RESULTS: "topic",
    HEARTBEATS: "topic",
    GROUPS: "direct",
}

#: What the service itself reads. A confirm of a result means that it is committed, or on the disk of a broker that has
#: one. Reports are read by one of several services at a time: of two that one endpoint sends, the later must win.
SHARED_QUEUES: Final = (
    (QueueSpec(RESULTS, confirm_on_ack=True), Binding(RESULTS, RESULTS, "*.results")),
    (QueueSpec(HEARTBEATS, one_reader=True), Binding(HEARTBEATS, HEARTBEATS, "*.heartbeats")),
)


def task_queue(user_endpoint_id: str) -> str:
    """What a user endpoint reads."""
    return f"{user_endpoint_id}.tasks"


def control_queue(user_endpoint_id: str) -> str:
    """Where a user endpoint of ours is told which tasks somebody wants cancelled."""
    return f"{user_endpoint_id}.control"


def command_queue(endpoint_id: str) -> str:
    """What a core endpoint reads."""
    return f"{endpoint_id}.commands"


def group_prefix(identity_id: str) -> str:
    """What the queues of all task groups of one identity begin with."""
    return f"{identity_id}."


def group_queue(identity_id: str, group_id: str) -> str:
    """What a client reads."""
    return group_prefix(identity_id) + group_id


def group_of_queue(queue: str) -> str | None:
    """The task group whose queue this is; None when it is another kind of queue."""
    identity_id, _, group_id = queue.partition(".")
    return group_id if len(identity_id) == len(group_id) == 36 else None


def reader_of_queue(queue: str) -> str | None:
    """The user endpoint whose task queue this is; None when it is another kind of queue."""
    user_endpoint_id, _, kind = queue.partition(".")
    return user_endpoint_id if kind == "tasks" else None


def result_key(endpoint_id: str) -> str:
    """The routing key of what this endpoint says about tasks."""
    return f"{endpoint_id}.results"


def heartbeat_key(endpoint_id: str) -> str:
    """The routing key of what this endpoint says about itself."""
    return f"{endpoint_id}.heartbeats"


def sender(routing_key: str) -> str:
    """Who wrote a message with this routing key."""
    return routing_key.partition(".")[0]


@dataclass(frozen=True, slots=True)
class CoreLogin:
    """The login of a core endpoint."""

    endpoint_id: str
    generation: int

    @property
    def name(self) -> str:
        """As the broker sees it."""
        return f"cep.{self.endpoint_id}.{self.generation}"


@dataclass(frozen=True, slots=True)
class UserLogin:
    """The login of a user endpoint."""

    user_endpoint_id: str
    generation: int

    @property
    def name(self) -> str:
        """As the broker sees it."""
        return f"uep.{self.user_endpoint_id}.{self.generation}"


@dataclass(frozen=True, slots=True)
class ClientLogin:
    """The login of a client, good for new connections until ``expires_at`` (unix seconds).

    :param identity_id: whose task groups it reads
    :param proof: by which token it was asked for (:attr:`afield.service.domain.people.TokenRecord.proof`); none: not
        by one
    """

    identity_id: str
    expires_at: int
    proof: str = ""

    @property
    def name(self) -> str:
        """As the broker sees it."""
        return ".".join(("sdk", self.identity_id, *([self.proof] if self.proof else ()), str(self.expires_at)))


Login = CoreLogin | UserLogin | ClientLogin


def parse_login(name: str) -> Login | None:
    """The login of this name; None when no login has such a name."""
    kind, _, rest = name.partition(".")
    whose, _, number = rest.rpartition(".")
    if not whose or not number.isascii() or not number.isdigit() or len(number) > 15:
        return None
    match kind:
        case "cep":
            return CoreLogin(whose, int(number))
        case "uep":
            return UserLogin(whose, int(number))
        case "sdk":
            identity_id, _, proof = whose.partition(".")
            return ClientLogin(identity_id, int(number), proof)
        case _:
            return None


def permissions(login: Login) -> Permissions:
    """What this login may reach: its own queues and keys, nothing else.

    Endpoints also ask whether the shared queues exist before they publish, so they may see these (reference: wire
    contract section 4.1).
    """
    if isinstance(login, ClientLogin):
        return Permissions(login.name, consume=(group_prefix(login.identity_id) + "*",), party=login.identity_id)
    if isinstance(login, CoreLogin):
        one = login.endpoint_id
        queues: tuple[str, ...] = (command_queue(one),)
    else:
        one = login.user_endpoint_id
        queues = (task_queue(one), control_queue(one))
    publish = ((RESULTS, result_key(one)), (HEARTBEATS, heartbeat_key(one)))
    return Permissions(login.name, consume=queues, publish=publish, inspect=(RESULTS, HEARTBEATS), party=one)
