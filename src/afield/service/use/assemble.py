"""All uses, put together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from secrets import token_bytes
from typing import Final

from afield.service.auth.oauth.server import OAuth
from afield.service.auth.queue_logins import Logins
from afield.service.auth.tokens import BearerTokens
from afield.service.clock import Clock
from afield.service.domain.names import CoreLogin, UserLogin
from afield.service.domain.records import EndpointRecord, UserEndpointRecord
from afield.service.settings import Limits
from afield.service.store.base import Store
from afield.service.together.base import Together
from afield.service.together.lives import Lives, OnlyLife
from afield.service.together.single import Single
from afield.service.use.beat import Beat
from afield.service.use.cancel import Cancel
from afield.service.use.depart import Depart
from afield.service.use.doubts import Doubts
from afield.service.use.endpoints import Endpoints
from afield.service.use.expire import Expire
from afield.service.use.finish import Finish
from afield.service.use.in_flight import InFlight
from afield.service.use.limits import KeepLimits
from afield.service.use.lists import Lists
from afield.service.use.lose import Lose
from afield.service.use.notice import TakeNotice
from afield.service.use.people.accounts import Accounts
from afield.service.use.people.caps import Caps
from afield.service.use.people.clients import Clients
from afield.service.use.people.cut_off import CutOff
from afield.service.use.people.forget import ForgetExpired
from afield.service.use.people.groups import Groups
from afield.service.use.people.invitations import Invitations
from afield.service.use.people.permit import Permit
from afield.service.use.people.policies import Policies
from afield.service.use.people.sharing import Sharing
from afield.service.use.people.tokens import Tokens
from afield.service.use.people.withdraw import Withdraw
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.service.use.refill import Refill
from afield.service.use.register_endpoint import RegisterEndpoint
from afield.service.use.register_function import Functions
from afield.service.use.repeats import Repeats
from afield.service.use.retention import Retention
from afield.service.use.revive import Revive
from afield.service.use.rounds import Rounds
from afield.service.use.start_user_endpoint import StartUserEndpoint
from afield.service.use.submit import Submit
from afield.service.use.task_groups import TaskGroups
from afield.service.use.task_record import TaskRecords
from afield.service.use.watch import Watch
from afield.service.use.weed import Weed
from afield.service.use.wishes import Wishes

__all__ = ["Uses", "assemble"]


@dataclass(frozen=True, slots=True)
class Uses:
    """What people and endpoints can ask for, and what is done without being asked. See the files of this folder."""

    # by HTTP
    functions: Functions
    register_endpoint: RegisterEndpoint
    endpoints: Endpoints
    sharing: Sharing
    teams: Groups
    invitations: Invitations
    policies: Policies
    tokens: Tokens
    clients: Clients
    accounts: Accounts
    submit: Submit
    watch: Watch
    task_record: TaskRecords
    cancel: Cancel
    lists: Lists
    oauth: OAuth
    # by the queues
    beat: Beat
    finish: Finish
    notice: TakeNotice
    # by the clock, and when the service starts
    expire: Expire
    depart: Depart
    forget_expired: ForgetExpired
    refill: Refill
    revive: Revive
    lose: Lose
    starter: StartUserEndpoint
    rounds: Rounds
    keep: KeepLimits
    repeats: Repeats
    retention: Retention
    limits: Limits


_SINGLE: Final = Single()


async def _admit(logins: Logins, one: EndpointRecord | UserEndpointRecord) -> None:
    """Let the broker know of the login that an endpoint was given last."""
    kind = CoreLogin if isinstance(one, EndpointRecord) else UserLogin
    await logins.admit(kind(one.id, one.generation))


def assemble(
    store: Store,
    records: Records,
    queues: Queues,
    in_flight: InFlight,
    *,
    logins: Logins,
    clock: Clock,
    limits: Limits,
    oauth: OAuth | None = None,
    together: Together = _SINGLE,
    lives: Lives | None = None,
    handed_over: Callable[[str], None] = lambda _: None,
) -> Uses:
    """Make them all, over one store and the queues of one broker.

    :param oauth: the authorization server; None: one of its own, for a service that nobody else looks at
    :param together: the other services on this store
    :param lives: this service's, and theirs; None: there are no others
    :param handed_over: told of submits whose tasks are in their queue, by the first task
    """
    oauth = oauth or OAuth(store, clock, BearerTokens(store, clock, together), secret=token_bytes())
    wishes = Wishes(store, together)
    refill = Refill(store, records, queues, wishes=wishes, in_flight=in_flight)
    groups = TaskGroups(records, queues, refill, clock)
    most_bytes = limits.result_bytes
    finish = Finish(store, records, queues, wishes=wishes, in_flight=in_flight, clock=clock, most_bytes=most_bytes)
    expire = Expire(store, records, queues, finish=finish, wishes=wishes, clock=clock, limits=limits)
    depart = Depart(store, records, queues, expire=expire, clock=clock)
    starter = StartUserEndpoint(
        store, records, queues, logins=logins, clock=clock, wait_s=limits.start_wait_s, together=together
    )
    revive = Revive(store, records, starter, in_flight, clock)
    permit = Permit(store, records, clock)
    withdraw = Withdraw(store, records, queues, permit=permit, expire=expire)
    cut_off = CutOff(store, records, queues)
    oauth.tokens.ended = cut_off.tokens_ended
    caps = Caps(store, clock, limits)
    teams = Groups(store, permit=permit, withdraw=withdraw, caps=caps, clock=clock)
    functions = Functions(records, permit, clock, limits.function_bytes)
    watch = Watch(
        store,
        groups,
        logins,
        permit=permit,
        clock=clock,
        most=limits.status_tasks,
        client_login_s=limits.client_login_s,
    )
    cancel = Cancel(
        store,
        records,
        queues,
        wishes=wishes,
        finish=finish,
        in_flight=in_flight,
        clock=clock,
        most=limits.status_tasks,
    )
    others = None if isinstance(together, Single) else together
    keep = KeepLimits(store, in_flight, clock, limits, others)
    submit = Submit(
        store,
        records,
        queues,
        functions=functions,
        watch=watch,
        groups=groups,
        starter=starter,
        revive=revive,
        in_flight=in_flight,
        permit=permit,
        keep=keep,
        clock=clock,
        limits=limits,
        doubts=Doubts(refill),
        handed_over=handed_over,
    )
    lose = Lose(store, in_flight, finish, refill, clock)
    rounds = Rounds(
        store,
        records,
        queues,
        refill=refill,
        revive=revive,
        lose=lose,
        weed=Weed(queues, wishes),
        admit=partial(_admit, logins),
        clock=clock,
        grace_s=limits.grace_s,
    )
    if queues.survive:
        starter.before_start = rounds.before_start
        submit.not_sent = rounds.not_sent
    return Uses(
        functions=functions,
        register_endpoint=RegisterEndpoint(store, records, queues, logins, clock, withdraw=withdraw, caps=caps),
        endpoints=Endpoints(store, records, queues, depart=depart, permit=permit, clock=clock, lock_s=limits.lock_s),
        sharing=Sharing(store, records, permit=permit, withdraw=withdraw, clock=clock),
        teams=teams,
        invitations=Invitations(store, groups=teams, permit=permit, clock=clock),
        policies=Policies(store, permit=permit, clock=clock),
        tokens=Tokens(store, oauth.tokens, clock, caps=caps),
        clients=Clients(store, oauth.tokens, clock, caps=caps, cut_off=cut_off),
        accounts=Accounts(store, oauth, clock, cut_off.shut_out),
        submit=submit,
        watch=watch,
        task_record=TaskRecords(store, records),
        cancel=cancel,
        lists=Lists(store),
        oauth=oauth,
        beat=Beat(
            records, starter=starter, revive=revive, cancel=cancel, expire=expire, in_flight=in_flight, clock=clock
        ),
        finish=finish,
        notice=TakeNotice(store, records, queues, wishes, in_flight),
        expire=expire,
        depart=depart,
        forget_expired=ForgetExpired(store.people, clock),
        refill=refill,
        revive=revive,
        lose=lose,
        starter=starter,
        rounds=rounds,
        repeats=Repeats(store, lives or OnlyLife(), clock, limits.repeat_s),
        retention=Retention(records, groups, limits),
        keep=keep,
        limits=limits,
    )
