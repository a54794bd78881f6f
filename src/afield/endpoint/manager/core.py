"""PURE: what a manager does about what happens to it. Events in, commands out; no clock, no socket, no process.

Theory. The service sends the start command of a user endpoint with every submit. So a command means three things: start
it, if it does not run; give it fresh credentials, if it does; and, if it is just about to end, start it again when it
has ended. Which user endpoint is meant is its name, which stands for an identity and a configuration.

Rules (reference: published wire contract sections 5.6 and 8):

1. A command counts only if it says that it is JSON and when it was sent, and was sent within 180 seconds of our clock:
   an old one would start what nobody waits for. One without these is nobody's, and is dropped; one that is too old is
   reported.
2. Where identities are not mapped, tasks run as the user of this process. So only the endpoint's owner may have them
   run here, and whom the owner let in at the service: of a guest the command says who did. However kindly the service
   asks for others, they are refused. Where identities are mapped, each command is, also for one that runs already: who
   has no account any more is refused, and what runs for them, or as an account that is not theirs now, is ended.
   To whom a machine is lent, the owner's rules apply (:mod:`afield.endpoint.manager.lending`).
3. One that ends well within the grace period after its last command is started again, once for each command.
4. One that ends badly just after its start did not start, and whoever submitted is told the end of its log. If a signal
   killed it, which says nothing about how it is configured, it is first tried once more.
5. One that ends badly later is started again at once, without asking: the broker has its tasks again, and somebody has
   to run those that had not begun, and to tell that the others are lost. The service may be away and not able to ask.
6. One that dies soon after its start, a few times in a row, is not started any more, neither by rule 4 and 5 nor by
   commands, until the owner says so or a pause is over: see :mod:`afield.endpoint.manager.runaway`.
7. A command is acknowledged when it has been decided; starting again is cheap, and the next submit sends another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from afield.endpoint.manager import commands as do
from afield.endpoint.manager import events as on
from afield.endpoint.manager.accounts import Tenant
from afield.endpoint.manager.lending import Lending
from afield.endpoint.manager.runaway import Runaways
from afield.errors import WireError
from afield.wire.commands import CONTENT_TYPE, MAX_CLOCK_SKEW_S, StartCommand, decode_command

__all__ = ["CANNOT", "KILL_AFTER_S", "STARTING_S", "ManagerCore"]

#: One that ends badly within so many seconds of its start did not start.
STARTING_S: Final = 10.0
#: The exit status of one that cannot work as it is configured, however long it took to find out (sysexits.h).
CANNOT: Final = 78
#: How long a user endpoint has beyond the grace of its tasks, to send results and say goodbye, in seconds.
KILL_AFTER_S: Final = 8.0


@dataclass(slots=True)
class _Child:
    command: StartCommand
    tenant: Tenant | None
    started_at: float
    commanded_at: float
    #: this is the second process for the same command
    revived: bool = False


class ManagerCore:
    """Decides for one manager.

    :param owners: identity ids of which one must be behind a command
    :param grace_period_s: how long after a command an ended user endpoint is started again, in seconds
    :param maps: each command is for the account to which its identities are mapped, whoever owns the endpoint
    :param runaways: remembers which user endpoints died soon after their start
    :param lending: the owner's rules for others; None: there are none
    :param most: user endpoints that anybody but the owner may have here at once; 0: as many as they like
    """

    def __init__(
        self,
        owners: frozenset[str],
        grace_period_s: float,
        *,
        maps: bool = False,
        runaways: Runaways | None = None,
        lending: Lending | None = None,
        most: int = 0,
    ) -> None:
        self._maps, self._lending, self._most = maps, lending, most
        self._runaways = runaways or Runaways()
        self._owners = frozenset(owner.lower() for owner in owners)
        self._grace_period_s = grace_period_s
        self._children: dict[str, _Child] = {}
        #: names of those that end because nobody may have them run any more
        self._evicted: set[str] = set()
        self._connected = False
        self._stopping = False
        self._leaving = False

    @property
    def children(self) -> tuple[str, ...]:
        """The names of the user endpoints that run."""
        return tuple(self._children)

    def handle(self, event: on.Event) -> list[do.Command]:
        """What to do about ``event``, in this order."""
        match event:
            case on.CommandArrived():
                return self._command(event)
            case on.Identified():
                return self._identified(event)
            case on.ChildExited():
                return self._exited(event) + self._leave()
            case on.StartFailed():
                return self._start_failed(event) + self._leave()
            case on.ConnectionUp() | on.ConnectionDown() | on.HeartbeatDue():
                if not isinstance(event, on.HeartbeatDue):
                    self._connected = isinstance(event, on.ConnectionUp)
                return self._beat()
            case on.StopRequested():
                return self._stop(event) + self._leave()
            case on.Cleared():
                self._runaways.clear()
                return [do.Tell("the owner has cleared what was stopped: user endpoints are started again")]
            case on.GraceOver():
                return [do.KillChildren()] if self._children else []
            case on.GoodbyeSaid():
                return [do.Exit()]

    def _beat(self) -> list[do.Command]:
        return [do.SendHeartbeat()] if self._connected and not self._leaving else []

    # --- commands of the service

    def _command(self, event: on.CommandArrived) -> list[do.Command]:
        if self._stopping:
            return []  # not acknowledged: it is there again for whoever comes next
        done = do.Acknowledge(event.tag)
        if event.content_type != CONTENT_TYPE or event.timestamp is None:
            kind = event.content_type or "no content type"
            return [done, do.Tell(f"a message that is not a command was dropped: {kind}, sent at {event.timestamp}")]
        try:
            command = decode_command(event.body)
        except WireError as error:
            return [done, do.Tell(f"a command was dropped: {error}")]
        refusal = self._refusal(command, event.timestamp, event.now)
        if refusal is not None:
            name = command.kwargs.name
            return [done, do.Tell(f"{name}: {refusal}"), do.ReportFailure(command.kwargs.amqp_creds, refusal)]
        if self._maps:
            return [done, do.Identify(command)]
        return [done, *self._start_or_refresh(command, event.now)]

    def _identified(self, event: on.Identified) -> list[do.Command]:
        if self._stopping:
            return []
        name, credentials = event.command.kwargs.name, event.command.kwargs.amqp_creds
        child = self._children.get(name)
        if name in self._evicted:
            why = "the user endpoint from before is just ending: submit again in a moment"
            return [do.ReportFailure(credentials, event.why or why)]
        if event.tenant is None:
            refused: list[do.Command] = [do.Tell(f"{name}: {event.why}"), do.ReportFailure(credentials, event.why)]
            return [*refused, *self._evict(name, event.why)] if child is not None and event.lost else refused
        if child is not None and child.tenant is not None and child.tenant.account.uid != event.tenant.account.uid:
            why = (
                f"the identity mapping of this endpoint now leads to {event.tenant.account.name}, and tasks of this "
                f"user endpoint run as {child.tenant.account.name}, which ends: submit again in a moment"
            )
            return [*self._evict(name, why), do.ReportFailure(credentials, why)]
        return self._start_or_refresh(event.command, event.now, event.tenant)

    def _evict(self, name: str, why: str) -> list[do.Command]:
        """End one for good, that has lost its right to run."""
        self._evicted.add(name)
        return [do.Tell(f"{name}: ending it, because {why}"), do.StopChild(name, why, 0.0)]

    def _refusal(self, command: StartCommand, timestamp: int, now: float) -> str | None:
        skew = now - timestamp
        if abs(skew) > MAX_CLOCK_SKEW_S:
            direction = "old" if skew > 0 else "in the future"
            return (
                f"the command to start this user endpoint is {abs(skew):.0f} s {direction} by the endpoint's clock; at "
                f"most {MAX_CLOCK_SKEW_S} s are accepted. Compare the clocks of endpoint and service, and submit again"
            )
        guest = isinstance(command.shared_by, str) and command.shared_by.lower() in self._owners
        if not self._maps and not guest and not self.is_owners(command):
            return (
                f"ignoring start request for untrusted identity {command.globus_username} "
                f"({command.globus_effective_identity}): tasks would run as the user who started this endpoint, and "
                "only its owner may do that, and whom its owner shares it with"
            )
        return None

    def is_owners(self, command: StartCommand) -> bool:
        """Whether the endpoint's owner is behind a command: the machine is theirs, and not lent to them.

        Where identities are mapped, it is nobody's.
        """
        identities = {command.globus_effective_identity.lower()}
        identities.update(str(identity.get("sub")).lower() for identity in command.globus_identity_set)
        return not self._maps and not self._owners.isdisjoint(identities)

    def _start_or_refresh(self, command: StartCommand, now: float, tenant: Tenant | None = None) -> list[do.Command]:
        name = command.kwargs.name
        if self._lending is not None and not self.is_owners(command):
            why = self._lending.refusal(command, now)
            if why is not None:
                return [do.Tell(f"{name}: {why}"), do.ReportFailure(command.kwargs.amqp_creds, why)]
        child = self._children.get(name)
        if child is None:
            refusal = self._runaways.refusal(name, now)
            if refusal is not None:
                report = do.ReportFailure(command.kwargs.amqp_creds, refusal, stopped=True)
                return [do.Tell(f"{name}: {refusal}"), report]
            if (why := self._too_many(command, tenant)) is not None:
                return [do.Tell(f"{name}: {why}"), do.ReportFailure(command.kwargs.amqp_creds, why)]
            self._runaways.starts(name)
            self._children[name] = _Child(command, tenant, started_at=now, commanded_at=now)
            whom = f"{command.globus_username} as {tenant.account.name}" if tenant else command.globus_username
            return [do.Tell(f"{name}: starting for {whom}"), do.Spawn(command, tenant)]
        child.command, child.commanded_at, child.revived = command, now, False
        return [do.RefreshCredentials(name, command.kwargs.amqp_creds)]

    def _too_many(self, command: StartCommand, tenant: Tenant | None) -> str | None:
        """Why somebody may not have one more: each costs the manager descriptors, and anybody can ask for many."""
        if not self._most or self.is_owners(command):
            return None
        whose = _whose(command, tenant)
        running = sum(_whose(child.command, child.tenant) == whose for child in self._children.values())
        if running < self._most:
            return None
        return (
            f"{running} user endpoints of {command.globus_username} run here, one for each configuration, and this "
            f"endpoint allows {self._most} at once (user_endpoints_most): use fewer configurations, or wait until some "
            "have ended for want of tasks"
        )

    # --- user endpoints

    def _start_failed(self, event: on.StartFailed) -> list[do.Command]:
        child = self._children.pop(event.name, None)
        self._evicted.discard(event.name)
        if child is None:
            return []
        self._runaways.ended(event.name, 0.0, None, 0.0)
        text = f"{event.name} did not start: {event.why}"
        return [do.Tell(text), do.ReportFailure(child.command.kwargs.amqp_creds, event.why)]

    def _exited(self, event: on.ChildExited) -> list[do.Command]:
        child = self._children.pop(event.name, None)
        if child is None:
            return []
        if event.name in self._evicted:
            self._evicted.discard(event.name)
            self._runaways.ended(event.name, 0.0, None, event.now)
            return [do.Tell(f"{event.name}: ended"), do.ReportGone(child.command.kwargs.amqp_creds)]
        credentials = child.command.kwargs.amqp_creds
        tell = do.Tell(f"{event.name}: ended, {_how(event.code)}")
        if self._stopping:
            return [tell, do.ReportGone(credentials)] if event.code else [tell]
        said = event.tail.strip() or "it wrote nothing to its log"
        text = f"the user endpoint ended at its start, {_how(event.code)}: {said}"
        why = f"it ended {_how(event.code)}: {said}" if event.code else None
        remember: list[do.Command] = []
        if self._runaways.ended(event.name, event.now - child.started_at, why, event.now):
            remember.append(do.KeepStopped(self._runaways.stopped))
        refusal = self._runaways.refusal(event.name, event.now)
        if refusal is not None and event.code:
            report = do.ReportFailure(credentials, refusal, stopped=True)
            return [tell, *remember, do.Tell(f"{event.name}: {refusal}"), report]
        if self._comes_again(child, event):
            self._runaways.starts(event.name)
            self._children[event.name] = _Child(
                child.command, child.tenant, event.now, child.commanded_at, revived=True
            )
            again = do.Tell(f"{event.name}: starting again")
            return [tell, *remember, again, do.Spawn(child.command, child.tenant)]
        if event.code == 0:
            return [tell, *remember]
        return [tell, *remember, do.Tell(f"{event.name}: {text}"), do.ReportFailure(credentials, text)]

    def _comes_again(self, child: _Child, event: on.ChildExited) -> bool:
        """Whether one that ended is started again (rules 3 to 5)."""
        if event.code == 0:
            return event.now - child.commanded_at < self._grace_period_s and not child.revived
        if event.code == CANNOT:
            return False
        return event.now - child.started_at > STARTING_S or (event.code < 0 and not child.revived)

    # --- the end

    def _stop(self, event: on.StopRequested) -> list[do.Command]:
        if self._stopping:
            return []
        self._stopping = True
        tell = do.Tell(f"stopping, because {event.why}")
        if not self._children:
            return [tell]
        return [tell, do.StopChildren(event.why, event.grace_s), do.StartGrace(event.grace_s + KILL_AFTER_S)]

    def _leave(self) -> list[do.Command]:
        if not self._stopping or self._children or self._leaving:
            return []
        self._leaving = True
        return [do.SayGoodbye()]


def _whose(command: StartCommand, tenant: Tenant | None) -> str | int:
    """Whose a user endpoint is: an account's, or a person's."""
    return tenant.account.uid if tenant is not None else command.globus_effective_identity.lower()


def _how(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"with exit status {code}"
