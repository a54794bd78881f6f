"""``afield login``, ``afield logout``, ``afield whoami``: who one is towards a service."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from afield.cli.options import AsJson, ServiceUrl, ask_service, columns, first_line, note, plain, print_json, when
from afield.errors import ComputeAPIError, ConfigurationError

if TYPE_CHECKING:
    from afield.sdk.login.interactive import Way
    from afield.sdk.login.source import Authorizer
    from afield.sdk.login.stored import StoredLogin
    from afield.wire.rest_logins import WhoAmI

__all__ = ["login", "logout", "whoami"]

_WHOAMI: Final = "/afield/v1/whoami"

_Values = list[str] | None


def login(
    *,
    service: ServiceUrl = None,
    browser: Annotated[bool, typer.Option("--browser", help="With a browser on this machine.")] = False,
    device: Annotated[bool, typer.Option("--device", help="With a code, typed in a browser anywhere.")] = False,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="With a code, copied from a browser anywhere, and pasted here.")
    ] = False,
    client_id: Annotated[
        str | None,
        typer.Option(help="With --client-secret: be this client. Alone: the program that you let in.", metavar="ID"),
    ] = None,
    client_secret: Annotated[
        str | None, typer.Option(help="Its secret; - reads it from standard input.", metavar="SECRET")
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="Keep this token instead; - reads it from standard input.", metavar="TOKEN")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Even if you are logged in.")] = False,
    session_required_identity: Annotated[
        _Values, typer.Option(help="As this identity; may be given several times.", metavar="ID")
    ] = None,
    session_required_single_domain: Annotated[
        _Values, typer.Option(help="With an account of this domain; of one of several.", metavar="DOMAIN")
    ] = None,
    session_required_policy: Annotated[
        _Values, typer.Option(help="As this authentication policy asks.", metavar="ID")
    ] = None,
    session_required_mfa: Annotated[
        bool, typer.Option("--session-required-mfa", help="With more than one factor.")
    ] = False,
    prompt: Annotated[str | None, typer.Option(help="login: even if the browser is logged in.", metavar="WHAT")] = None,
    scope: Annotated[_Values, typer.Option(help="For this, too.", metavar="SCOPE")] = None,
    as_json: AsJson = False,
) -> None:
    """Log in at a service, for all programs of yours on this machine.

    Your browser is opened, if there is one on this machine; else a code is shown, to be typed in a browser anywhere.
    Nobody needs this for a service that they have started here themselves.

    \b
    Examples:
      afield login --service https://afield.example.org
      afield login --device
      afield login --client-id ID --client-secret - < secret.txt
    """
    from afield.sdk.login.source import checked_url, find_url

    way = _way(browser=browser, device=device, no_browser=no_browser)
    parameters = {
        "session_required_identities": session_required_identity,
        "session_required_single_domain": session_required_single_domain,
        "session_required_policies": session_required_policy,
        "session_required_mfa": session_required_mfa,
        "prompt": prompt,
        "required_scopes": scope,
    }
    parameters = {name: value for name, value in parameters.items() if value}
    url = checked_url(service or find_url())
    is_certain = force or way is not None or bool(parameters) or client_id is not None
    if client_secret is not None:
        kept = _as_client(url, client_id, client_secret)
    elif token is not None:
        kept = _with_token(url, first_line(token))
    elif not is_certain and _is_needless(url):
        return
    else:
        kept = _as_person(url, way, client_id, parameters)
    _warn_of_environment()
    if as_json:
        print_json(_public(kept))
    else:
        name = f" ({plain(kept.name)})" if kept.name and kept.name != kept.username else ""
        typer.echo(f"Logged in at {kept.service_url} as {plain(kept.username)}{name}.")


def logout(
    service: ServiceUrl = None,
    everywhere: Annotated[bool, typer.Option("--all", help="At all services where you are logged in.")] = False,
    as_json: AsJson = False,
) -> None:
    """Log out: the service revokes your tokens, and this machine forgets them.

    \b
    Examples:
      afield logout
      afield logout --all
    """
    from afield.sdk.login.ending import log_out
    from afield.sdk.login.stored import all_logins

    urls = [one.service_url for one in all_logins()] if everywhere else [_where_to_log_out(service)]
    ended = [one for one in map(log_out, urls) if one is not None]
    for one in ended:
        if one.trouble is not None:
            note(
                f"warning: the tokens are forgotten here, and could not be revoked at {one.login.service_url}: "
                f"{one.trouble}"
            )
    if as_json:
        print_json([_public(one.login) | {"revoked": one.trouble is None} for one in ended])
    elif not ended:
        typer.echo("You are not logged in" + ("." if everywhere else f" at {urls[0]}."))
    for one in ended if not as_json else ():
        typer.echo(f"Logged out at {one.login.service_url}.")


def whoami(service: ServiceUrl = None, as_json: AsJson = False) -> None:
    """Show who you are towards a service, and what says so.

    \b
    Examples:
      afield whoami
      afield whoami --json
    """
    from afield.wire.rest_logins import WhoAmI

    questions = ask_service(service)
    found = questions.get(_WHOAMI, WhoAmI)
    source = _source(questions.authorizer)
    if as_json:
        import msgspec

        print_json({"service": questions.url, "source": source} | msgspec.to_builtins(found))
        return
    _show(questions.url, source, found)


def _show(url: str, source: str, found: WhoAmI) -> None:
    me = found.identity
    rows = [
        ("username", me.username),
        ("name", me.name),
        ("id", me.id),
        ("e-mail", me.email),
        ("service", url),
        ("known by", source),
        ("until", when(found.token.expires_at, "revoked") + (", then renewed" if source == "afield login" else "")),
    ]
    rows += [("linked", f"{one.username} ({one.provider})  {one.id}") for one in found.linked]
    rows += [("group", f"{one.name} ({one.role})  {one.id}") for one in found.groups]
    if found.is_admin:
        rows.append(("may", "administrate this service"))
    columns(*(row for row in rows if row[1]))


def _way(*, browser: bool, device: bool, no_browser: bool) -> Way | None:
    from afield.sdk.login.interactive import Way

    asked = {Way.BROWSER: browser, Way.DEVICE: device, Way.PASTE: no_browser}
    chosen = [way for way, wanted in asked.items() if wanted]
    if len(chosen) > 1:
        raise typer.BadParameter("--browser, --device and --no-browser exclude each other: give one of them, or none")
    return chosen[0] if chosen else None


def _is_needless(url: str) -> bool:
    """Whether somebody is in already, which they are told."""
    from afield.sdk.login import known, stored
    from afield.wire.rest_logins import WhoAmI

    if stored.read(url) is None:
        if any(known.same_service(one.service_url, url) for one in known.live()):
            typer.echo(f"You have started {url} yourself: no login is needed. (As somebody else: --force.)")
            return True
        return False
    try:
        found = ask_service(url).get(_WHOAMI, WhoAmI)
    except ComputeAPIError as error:
        if error.http_status != 401:
            raise
        return False
    typer.echo(f"You are logged in at {url} as {found.identity.username}. (To log in anew: --force.)")
    return True


def _as_person(url: str, way: Way | None, client_id: str | None, parameters: dict[str, Any]) -> StoredLogin:
    from afield.sdk.login.interactive import log_in
    from afield.sdk.login.person import Terminal

    try:
        return log_in(url, Terminal(), way, client_id=client_id, parameters=parameters)
    except EOFError:
        raise ConfigurationError(
            "nobody is here to paste the code: run `afield login` at a terminal, or set AFIELD_TOKEN to one of "
            "your tokens"
        ) from None


def _as_client(url: str, client_id: str | None, secret: str) -> StoredLogin:
    from afield.sdk.login import stored
    from afield.sdk.login.client_credentials import ClientCredentials

    if client_id is None:
        raise typer.BadParameter("--client-secret goes with --client-id: give both")
    secret = first_line(secret)
    who = _who(url, ClientCredentials(url, client_id, secret, "--client-id"))
    kept = _made(url, who, client_id=client_id, client_secret=secret)
    stored.keep(kept)
    return kept


def _with_token(url: str, token: str) -> StoredLogin:
    from afield.sdk.login import stored
    from afield.sdk.login.source import BearerToken
    from afield.sdk.login.stored import StoredToken

    if not token:
        raise typer.BadParameter("--token is empty: give a token, or - to read it from standard input")
    try:
        who = _who(url, BearerToken(token))
    except ValueError as error:
        raise typer.BadParameter(f"--token: {error}") from error
    kept_token = StoredToken(token, time.time(), who.token.expires_at)
    kept = _made(url, who, tokens={stored.COMPUTE_SERVER: kept_token})
    stored.keep(kept)
    return kept


def _who(url: str, authorizer: Authorizer) -> WhoAmI:
    from afield.sdk.login.questions import Questions
    from afield.wire.rest_logins import WhoAmI

    return Questions(url, authorizer).get(_WHOAMI, WhoAmI)


def _made(url: str, who: WhoAmI, **more: Any) -> StoredLogin:
    from afield.sdk.login.stored import StoredLogin

    me = who.identity
    return StoredLogin(
        service_url=url.rstrip("/"),
        identity_id=me.id,
        username=me.username,
        name=me.name,
        logged_in_at=time.time(),
        **more,
    )


def _public(kept: StoredLogin) -> dict[str, Any]:
    """Of a login, what is no secret."""
    token = kept.compute
    return {
        "service": kept.service_url,
        "username": kept.username,
        "name": kept.name,
        "id": kept.identity_id,
        "expires_at": None if token is None else token.expires_at,
        "renews": kept.client_secret is not None or (token is not None and token.refresh_token is not None),
    }


def _where_to_log_out(service: str | None) -> str:
    from afield.sdk.login.source import checked_url, find_url
    from afield.sdk.login.stored import all_logins

    if service is None and not os.environ.get("AFIELD_SERVICE_URL"):
        # The one that runs here needs no login, so it is hardly meant.
        logins = all_logins()
        if len(logins) == 1:
            return logins[0].service_url
    return checked_url(service or find_url())


def _source(authorizer: Authorizer) -> str:
    from afield.sdk.login.client_credentials import ClientCredentials
    from afield.sdk.login.renewing import StoredAuthorizer

    if isinstance(authorizer, ClientCredentials):
        return "client credentials"
    if isinstance(authorizer, StoredAuthorizer):
        return "afield login"
    return "AFIELD_TOKEN" if os.environ.get("AFIELD_TOKEN", "").strip() else "having started the service"


def _warn_of_environment() -> None:
    from afield.sdk.login.client_credentials import PAIRS

    found = ["AFIELD_TOKEN"] if os.environ.get("AFIELD_TOKEN", "").strip() else []
    found += [pair[0] for pair in PAIRS if all(os.environ.get(name) for name in pair)][:1]
    for name in found:
        note(f"warning: {name} is set here and goes before this login. Unset it to be who you logged in as.")
