"""All uses, put together."""

from __future__ import annotations

from dataclasses import dataclass

from afield.service.auth.queue_logins import QueueLogins
from afield.service.clock import Clock
from afield.service.settings import Limits
from afield.service.store.base import Store
from afield.service.use.beat import Beat
from afield.service.use.cancel import Cancel
from afield.service.use.endpoints import Endpoints
from afield.service.use.expire import Expire
from afield.service.use.finish import Finish
from afield.service.use.in_flight import InFlight
from afield.service.use.lists import Lists
from afield.service.use.lose import Lose
from afield.service.use.notice import TakeNotice
from afield.service.use.queues import Queues
from afield.service.use.records import Records
from afield.service.use.refill import Refill
from afield.service.use.register_endpoint import RegisterEndpoint
from afield.service.use.register_function import Functions
from afield.service.use.revive import Revive
from afield.service.use.start_user_endpoint import StartUserEndpoint
from afield.service.use.submit import Submit
from afield.service.use.task_groups import TaskGroups
from afield.service.use.watch import Watch
from afield.service.use.wishes import Wishes

__all__ = ["Uses", "assemble"]


@dataclass(frozen=True, slots=True)
class Uses:
    """What people and endpoints can ask for, and what is done without being asked. See the files of this folder."""

    # by HTTP
    functions: Functions
    register_endpoint: RegisterEndpoint
    endpoints: Endpoints
    submit: Submit
    watch: Watch
    cancel: Cancel
    lists: Lists
    # by the queues
    beat: Beat
    finish: Finish
    notice: TakeNotice
    # by the clock, and when the service starts
    expire: Expire
    refill: Refill
    revive: Revive
    lose: Lose
    limits: Limits


def assemble(
    store: Store,
    records: Records,
    queues: Queues,
    in_flight: InFlight,
    *,
    logins: QueueLogins,
    clock: Clock,
    limits: Limits,
) -> Uses:
    """Make them all, over one store and the queues of one broker."""
    wishes = Wishes(store)
    refill = Refill(store, records, queues, wishes=wishes, in_flight=in_flight)
    groups = TaskGroups(records, queues, refill, clock)
    finish = Finish(store, records, queues, wishes=wishes, in_flight=in_flight, clock=clock)
    expire = Expire(store, finish, queues, clock, limits.retention_s)
    starter = StartUserEndpoint(store, records, queues, logins=logins, clock=clock, wait_s=limits.start_wait_s)
    revive = Revive(store, records, starter, in_flight, clock)
    functions = Functions(records, clock, limits.function_bytes)
    watch = Watch(store, groups, logins, most=limits.status_tasks, client_login_s=limits.client_login_s)
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
        clock=clock,
        limits=limits,
    )
    return Uses(
        functions=functions,
        register_endpoint=RegisterEndpoint(store, records, queues, logins, clock),
        endpoints=Endpoints(store, records, queues, expire=expire, clock=clock, lock_s=limits.lock_s),
        submit=submit,
        watch=watch,
        cancel=cancel,
        lists=Lists(store),
        beat=Beat(records, starter=starter, revive=revive, cancel=cancel, in_flight=in_flight, clock=clock),
        finish=finish,
        notice=TakeNotice(store, records, queues, wishes, in_flight),
        expire=expire,
        refill=refill,
        revive=revive,
        lose=Lose(in_flight, finish, clock),
        limits=limits,
    )
