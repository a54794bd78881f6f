"""What scripts for older generations of the published SDK say, and what they should say now.

Accepted with a DeprecationWarning, which Python shows once for each place in a script that causes it. A form that
cannot be honoured any more is refused rather than misunderstood.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final, ParamSpec, TypeVar

__all__ = [
    "CONTAINER",
    "LEFT_OUT",
    "also",
    "authorizer_of",
    "client_arguments",
    "deprecated",
    "executor_arguments",
    "without_effect",
]

P = ParamSpec("P")
T = TypeVar("T")


def deprecated(message: str, depth: int = 1) -> None:
    """Warn whoever called the public function that calls this.

    :param depth: how many functions of ours lie between the caller's line and this call
    """
    warnings.warn(message, DeprecationWarning, stacklevel=depth + 2)


def also(older: Callable[..., Any]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorator: a method may be called in an older form, too.

    :param older: called first, with the same arguments; returns NotImplemented where they have today's form. It warns
        at depth 2
    """

    def decorate(present: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(present)
        def either(*args: P.args, **kwargs: P.kwargs) -> T:
            answer = older(*args, **kwargs)
            return present(*args, **kwargs) if answer is NotImplemented else answer

        return either

    return decorate


def without_effect(what: Mapping[str, str], where: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorator: a method takes keyword arguments that had a meaning once.

    :param what: for each what to know or to write instead
    :param where: the method's name, for messages
    """

    def decorate(present: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(present)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            for name in what.keys() & kwargs.keys():
                deprecated(f"{where} takes no {name} any more: {what[name]}")
                del kwargs[name]
            return present(*args, **kwargs)

        return call

    return decorate


# -- Client(...) -------------------------------------------------------------------------------------------------------

_REPEATED: Final = "unanswered requests are repeated for AFIELD_RETRY_S seconds"
_OWN: Final = "Afield asks nothing but its own service, which authorizer= or token= opens"

#: What has no effect, and what to know or to write instead.
LEFT_OUT: Final[dict[str, str]] = {
    "check_endpoint_version": "endpoints are checked by the service",
    "funcx_home": "the directory for a person's files is AFIELD_USER_DIR",
    "http_timeout": _REPEATED,
    "loop": "there is one background thread, and futures can be awaited in any loop",
    "no_local_server": "nothing listens for a login",
    "openid_authorizer": _OWN,
    "results_ws_uri": "results come through the queues that the service names",
    "search_authorizer": _OWN,
    "throttling_enabled": "nothing is throttled",
    "use_offprocess_checker": "what is serialized is not read back on trial",
    "warn_about_url_mismatch": "there is one address, service_url=",
}

#: What has another name now.
_RENAMED: Final = {
    "funcx_service_address": "service_url",
    "force_login": "login_manager=LoginManager(), or run `afield login --force` once for all programs,",
    "fx_authorizer": "authorizer",
    "login_manager": "authorizer",
    "task_group_id": "create_batch(task_group_id=...) or Executor(task_group_id=...)",
}


def client_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """What of ``Client``'s further keyword arguments has a meaning still: some of those of ``_RENAMED``.

    Called by the constructor, at whose caller the warnings point.

    :raises TypeError: one asks for what a Client cannot be any more
    """
    kept: dict[str, Any] = {}
    for name, value in given.items():
        if name in LEFT_OUT:
            deprecated(f"Client() takes no {name} any more: {LEFT_OUT[name]}", 2)
        elif name == "asynchronous":
            if value:
                raise TypeError(
                    "Client(asynchronous=True) is gone: submit with an Executor, and await the futures that it returns"
                )
            deprecated("Client() takes no asynchronous any more: leave it out", 2)
        elif name in _RENAMED:
            deprecated(f"Client({name}=...) is from an older generation: write {_RENAMED[name]} now", 2)
            if value is not None:
                kept[name] = value
        else:
            warnings.warn(f"Client() does not know {name!r}; it has no effect", UserWarning, stacklevel=3)
    return kept


def authorizer_of(login_manager: Any, url: str) -> Any:
    """What gives the header, of an object of the older generation that manages logins.

    :param login_manager: has ``ensure_logged_in()`` and ``get_web_client(base_url=)``, whose answer has an
        ``authorizer``
    :raises TypeError: it has none of that
    """
    for name in ("ensure_logged_in", "get_web_client"):
        if not callable(getattr(login_manager, name, None)):
            raise TypeError(f"login_manager should have a method {name}(), and {type(login_manager).__name__} has none")
    login_manager.ensure_logged_in()
    web_client = login_manager.get_web_client(base_url=url)
    authorizer = getattr(web_client, "authorizer", None)
    if authorizer is None:
        raise TypeError(
            f"{type(login_manager).__name__}.get_web_client() gave {web_client!r}, which has no authorizer: "
            "return WebClient(base_url=base_url, authorizer=...)"
        )
    return authorizer


# -- Executor(...) -----------------------------------------------------------------------------------------------------

#: What to write instead of ``container_id``.
CONTAINER: Final = (
    "container_id has no effect: containers are part of an endpoint's configuration. Leave it out, and choose the "
    "container with user_endpoint_config={…}, by the variables that the endpoint's template has for it"
)

#: What has no effect, and what to know or to write instead.
_WITHOUT_EFFECT: Final = {
    "batch_interval": "calls go out as soon as they can; leave it out",
    "batch_enabled": "calls share requests as they can; leave it out, or write batch_size=1 to have each sent alone",
    "api_burst_limit": "the service says itself when it is asked too often; leave it out",
    "api_burst_window_s": "the service says itself when it is asked too often; leave it out",
}


def executor_arguments(
    named: Iterable[str], parameters: Iterable[str], container_id: object, funcx_client: object
) -> None:
    """Warn of what ``Executor`` is told and needs no more. Called by the constructor, at whose caller warnings point.

    :param named: its further keyword arguments
    :param parameters: the names of those that it knows
    :raises TypeError: nobody ever knew one of them
    """
    for name in named:
        if name not in _WITHOUT_EFFECT:
            close = get_close_matches(name, parameters, 1, 0.7)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"Executor() got an unexpected keyword argument {name!r}{hint}")
        deprecated(f"{name} has no effect any more: {_WITHOUT_EFFECT[name]}", 2)
    if container_id is not None:
        deprecated(CONTAINER, 2)
    if funcx_client is not None:
        deprecated("funcx_client is now called client: write Executor(client=...)", 2)
