"""``Client``: what a service can be asked, one question at a time."""

from __future__ import annotations

import os
import warnings
import weakref
from typing import TYPE_CHECKING, Any, Final, Self

from afield.ids import new_id, parse_id
from afield.sdk import portal
from afield.sdk.batch import this_runtime
from afield.sdk.checks import said, text
from afield.sdk.function_calls import FunctionCalls
from afield.sdk.functions import Function
from afield.sdk.login.client_credentials import COMPUTE_SCOPE
from afield.sdk.older import authorizer_of, client_arguments
from afield.sdk.places import EndpointCalls
from afield.sdk.retry import Pace, pace_from_environment
from afield.sdk.sharing_calls import SharingCalls
from afield.sdk.task_calls import TaskCalls
from afield.sdk.version import check, sdk_version
from afield.serialize import ComputeSerializer

if TYPE_CHECKING:
    from afield.broker.base import Connector
    from afield.sdk.login.source import Authorizer
    from afield.sdk.session import Session
    from afield.sdk.transport.base import Transport
    from afield.serialize.selection import Strategylike

__all__ = ["Client"]


class Client(TaskCalls, FunctionCalls, EndpointCalls, SharingCalls):
    """One service, and one identity towards it. Making one asks nothing of the service yet.

    :param environment: published; ``"local"`` means port 5000 of this machine
    :param local_compute_services: published; means the same
    :param do_version_check: whether to ask the service, before anything else, if it takes clients like this one
    :param code_serialization_strategy: how functions become text; None: the default
    :param data_serialization_strategy: how arguments become text; None: the default
    :param app: an application object of globus-sdk, or another one with ``get_authorizer()``
    :param authorizer: an object with ``get_authorization_header()``; excludes ``app``
    :param service_url: where the service is; None: see :mod:`afield.sdk.login.source`
    :param token: the bearer token; None: likewise
    :param transport: how to reach the service; None: HTTP
    :param connector: how to reach its result queues; None: AMQP
    :param pace: how patient to be; None: as ``AFIELD_RETRY_S`` says, else for 60 seconds
    :param kwargs: of older generations; see :mod:`afield.sdk.older`
    :raises ConfigurationError: nothing says where the service is, or what says so is no address
    :raises TypeError: a parameter is of the wrong kind
    :raises ValueError: several of them say who is asking, or the environment holds half of a client's credentials
    """

    #: published: what a token of an identity provider must be good for
    FUNCX_SCOPE: Final = COMPUTE_SCOPE

    def __init__(
        self,
        environment: str | None = None,
        local_compute_services: bool = False,  # noqa: FBT001, FBT002 - as published
        do_version_check: bool = True,  # noqa: FBT001, FBT002 - as published
        *,
        code_serialization_strategy: Strategylike | None = None,
        data_serialization_strategy: Strategylike | None = None,
        app: Any = None,
        authorizer: Any = None,
        service_url: str | None = None,
        token: str | None = None,
        transport: Transport | None = None,
        connector: Connector | None = None,
        pace: Pace | None = None,
        **kwargs: Any,
    ) -> None:
        older = client_arguments(kwargs)
        #: how functions, arguments and results become bytes and come back
        self.serializer = ComputeSerializer(code_serialization_strategy, data_serialization_strategy)
        #: functions by digest, for the Executors of this client
        self.functions: dict[bytes, Function] = {}
        self._do_version_check = do_version_check
        self._transport, self._connector = transport, connector
        _check_parts(connector, pace)
        self._pace = pace or pace_from_environment()
        self._url = _address(
            transport, service_url or older.get("funcx_service_address"), environment, local=local_compute_services
        )
        #: what has a ``logout()`` of its own
        self._logins = app if app is not None else older.get("login_manager")
        #: None: whatever this machine knows
        self._authorizer = _given(
            self._url,
            app=app,
            authorizer=authorizer,
            token=token,
            fx_authorizer=older.get("fx_authorizer"),
            login_manager=older.get("login_manager"),
        )
        if self._authorizer is None and older.get("force_login"):
            self._authorizer = _logged_in_anew(self._url)
        if self._authorizer is None and transport is None:
            _say_of_half_a_client(self._url)
        # Chosen here, so that it can be noted down before anything is sent; the service takes it with the first batch.
        group = older.get("task_group_id")
        self._group_id = new_id() if group is None else parse_id(group, "task group")
        #: the session of this process, by its life; see :meth:`session`
        self._sessions: dict[object, Session] = {}
        weakref.finalize(self, _let_go, self._sessions).atexit = False

    @property
    def service_url(self) -> str:
        """Where the service is."""
        return self._url

    def __repr__(self) -> str:
        return f"Client({self._url})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError("a Client cannot be sent elsewhere; make one where it is used")

    def close(self) -> None:
        """Let go of the connections. Futures that have not ended fail."""
        session = self._sessions.pop(portal.life, None)
        if session is not None:
            session.run(session.close)

    def session(self) -> Session:
        """What this client has in the background thread; for the Executor."""
        found = self._sessions.get(portal.life)
        if found is not None:
            return found
        from afield.sdk.session import Session

        made = Session(
            self._transport or self._http(),
            self._connector or _amqp(),
            pace=self._pace,
            check_version=self._do_version_check,
            user_runtime=this_runtime,
        )
        kept = self._sessions.setdefault(portal.life, made)
        if kept is not made:  # another thread was faster
            portal.current().release(made)
        return kept

    # -- the service -------------------------------------------------------------------------------------------------

    def version_check(self, endpoint_version: str | None = None) -> None:
        """Make sure that the service takes clients like this one.

        :param endpoint_version: published version of an endpoint that it should take, too
        :raises TypeError: that is no text
        :raises VersionMismatch: it does not
        """
        if endpoint_version is not None:
            text("endpoint_version", endpoint_version)
        check(self.session().call(lambda service: service.version()), endpoint_version)

    def logout(self) -> None:
        """End the login that is kept for this service on this machine: the service revokes its tokens, and it is
        forgotten. Where ``app`` was given, have that log out.

        What else the program brought along itself stays as it is, with a warning; and so warns a service that could not
        be told.
        """
        if self._logins is not None and callable(getattr(self._logins, "logout", None)):
            self._logins.logout()
            return
        if self._authorizer is not None:
            warnings.warn("the credentials came from the program; there is nothing to forget", stacklevel=2)
            return
        from afield.sdk.login.ending import log_out

        ended = log_out(self._url)
        if ended is not None and ended.trouble is not None:
            warnings.warn(
                f"the login is forgotten here, and its tokens could not be revoked: {ended.trouble}", stacklevel=2
            )

    def get_result_amqp_url(self) -> dict[str, str]:
        """Fresh credentials for the result stream: ``queue_prefix`` and ``connection_url``."""
        found = self.session().call(lambda service: service.result_queue())
        return {"queue_prefix": found.queue_prefix, "connection_url": found.connection_url}

    # -- inside ------------------------------------------------------------------------------------------------------

    def _http(self) -> Transport:
        from afield.sdk.login.source import authorization, find_authorizer, relogin, renewal
        from afield.sdk.transport.http import HttpTransport

        found, agent = self._authorizer or find_authorizer(self._url), f"afield-sdk/{sdk_version()}"
        return HttpTransport(self._url, authorization(None, found), agent, renewal(found), relogin(found))


def _let_go(sessions: dict[object, Session]) -> None:
    for session in sessions.values():
        session.close_soon()


def _amqp() -> Connector:
    from afield.broker.amqp import AmqpConnector

    return AmqpConnector()


def _check_parts(connector: object, pace: object) -> None:
    """Of the transport, its address is asked for."""
    if not isinstance(pace, Pace | None):
        raise TypeError(f"pace should be an afield.sdk.retry.Pace or None, and is {said(pace)}")
    if connector is not None and not callable(getattr(connector, "connect", None)):
        raise TypeError(f"connector should have a method connect(), and is {said(connector)}")


def _address(transport: Transport | None, given: str | None, environment: str | None, *, local: bool) -> str:
    if transport is not None:
        url = getattr(transport, "url", None)
        if not isinstance(url, str):
            raise TypeError(f"transport should be one of afield.sdk.transport or None, and is {said(transport)}")
        return url
    from afield.sdk.login.source import checked_url, find_url

    return checked_url(find_url(environment, local=local) if given is None or given == "" else given)


def _given(url: str, **ways: Any) -> Authorizer | None:
    """What the program said of who is asking; None: nothing."""
    said = {name: value for name, value in ways.items() if value is not None}
    if not said:
        return None
    if len(said) > 1:
        raise ValueError(f"{' and '.join(said)} exclude each other: each alone says who is asking")
    from afield.sdk.login.source import BearerToken, as_authorizer, authorizer_of_app

    [(name, value)] = said.items()
    if name == "token":
        return BearerToken(value)
    if name == "app":
        return authorizer_of_app(value)
    return as_authorizer(authorizer_of(value, url) if name == "login_manager" else value)


def _logged_in_anew(url: str) -> Authorizer | None:
    """Somebody logs in, if anybody is there."""
    from afield.sdk.login.interactive import Attended, log_in
    from afield.sdk.login.person import Terminal, is_attended

    if not is_attended():
        return None
    person = Terminal()
    log_in(url, person)
    return Attended(url, person)


def _say_of_half_a_client(url: str) -> None:
    from afield.sdk.login.client_credentials import find

    find(url, os.environ)
