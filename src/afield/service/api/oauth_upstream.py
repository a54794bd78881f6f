"""The pages by which people come from elsewhere, and link who they are there with who they are here."""

from __future__ import annotations

import logging
import secrets
from typing import Any, Final
from urllib.parse import quote

import msgspec

from afield.service.api.ask import Ask
from afield.service.api.oauth import here
from afield.service.api.oauth_pages import browser_of, proven_form, show, trouble
from afield.service.api.reply import Reply, redirect
from afield.service.auth.oauth.authorize import policies_of
from afield.service.auth.oauth.browser import Browser, mark_of
from afield.service.auth.oauth.errands import Errand
from afield.service.auth.oauth.fields import parse_fields
from afield.service.auth.oauth.problems import OAuthError
from afield.service.auth.oauth.userinfo import provider_name
from afield.service.auth.tokens import digest_of
from afield.service.auth.upstream.arrival import Arrival
from afield.service.auth.upstream.identities import OutsideIdentities
from afield.service.auth.upstream.login import AWAY_S, UpstreamLogin
from afield.service.auth.upstream.problems import LoginFailed, stale
from afield.service.auth.upstream.question import NOTHING_ELSE, Asked, Wanted, wanted
from afield.service.domain.people import TicketRecord

__all__ = ["IDENTITIES_PATH", "begin", "came_back", "identities", "link", "unlink"]

logger = logging.getLogger(__name__)

IDENTITIES_PATH: Final = "/v2/web/identities"

_NO_STORE: Final = {"cache-control": "no-store", "referrer-policy": "no-referrer"}
_KIND: Final = "upstream-link"
_TOO_OLD: Final = "This page is no longer good: it was open for too long, or comes from elsewhere. Start again."


class _Offer(msgspec.Struct, frozen=True):
    """Who came back to be linked; the person has yet to say yes."""

    arrival: Arrival
    identity_id: str
    browser: str


async def begin(ask: Ask, name: str) -> Reply:
    """Sends a browser to a provider."""
    login = _login(ask, name)
    if login is None:
        return _unknown(ask, name)
    oauth, browser = ask.uses.oauth, await browser_of(ask)
    try:
        fields = parse_fields(ask.query_string)
        link_to = _wants_link(browser, fields["link"]) if "link" in fields else None
        visit = oauth.errands.open(fields)
        if visit is None:
            return trouble(ask, _TOO_OLD)
        want = await _wanted(ask, visit.errand)
        url = await login.begin(
            here(ask),
            mark_of(browser, "upstream"),
            want,
            ask.address(oauth.proxies),
            errand=visit.text,
            link_to=link_to,
        )
    except OAuthError as error:
        return trouble(ask, error.message, error.status)
    except LoginFailed as failure:
        return _failed(ask, login, failure)
    cookie = {"set-cookie": oauth.browsers.cookie_of(browser)} if browser.is_new else {}
    return redirect(url, {**_NO_STORE, **cookie})


async def came_back(ask: Ask, name: str) -> Reply:
    """A provider sends a browser back."""
    login = _login(ask, name)
    if login is None:
        return _unknown(ask, name)
    browser, asked = await browser_of(ask), None
    try:
        fields = parse_fields(ask.query_string)
        asked = await login.remembered(fields, mark_of(browser, "upstream"))
        arrival = await login.finish(asked, fields)
        if asked.link_to is not None:
            return await _offered(ask, login, browser, arrival, asked.link_to)
        outside = _identities(ask)
        identity = await outside.admit(arrival, login.name, may_sign_up=login.settings.sign_up)
    except OAuthError as error:
        return trouble(ask, error.message, error.status)
    except LoginFailed as failure:
        return _failed(ask, login, failure, asked)
    oauth = ask.uses.oauth
    browser = await oauth.browsers.log_in(browser, identity, at=arrival.authenticated_at, mfa=arrival.mfa)
    cookie = {"set-cookie": oauth.browsers.cookie_of(browser)}
    return redirect(f"/v2/web/continue?errand={asked.errand}", {**_NO_STORE, **cookie})


async def identities(ask: Ask) -> Reply:
    """Who somebody is, here and elsewhere, and where else they can say who they are."""
    browser = await browser_of(ask)
    if browser.person is None:
        return redirect("/v2/web/login", _NO_STORE)
    every = browser.person.identities
    rows = [
        {
            "id": one.id,
            "username": one.username,
            "provider": provider_name(one),
            "may_part": len(every) > 1 and one.person_id not in {None, one.id},
        }
        for one in every
    ]
    mark = mark_of(browser, "link")
    places = [
        {"name": one.name, "url": f"{one.path}?link={mark}"}
        for one in ask.uses.oauth.outside.values()
        if isinstance(one, UpstreamLogin)
    ]
    return show(ask, browser, "identities", identities=rows, places=places)


async def link(ask: Ask) -> Reply:
    """Somebody says whether they want to be one with who they are elsewhere."""
    got = await proven_form(ask)
    if isinstance(got, Reply):
        return got
    browser, fields = got
    oauth = ask.uses.oauth
    ticket = await oauth.people.take_ticket(_digest(fields.get("offer", "")))
    if ticket is None or ticket.kind != _KIND or oauth.clock.now() >= ticket.expires_at:
        return trouble(ask, _TOO_OLD)
    offer = msgspec.convert(ticket.content, _Offer)
    person = browser.person
    if person is None or offer.browser != mark_of(browser, "link") or person.identity.id != offer.identity_id:
        return trouble(ask, _TOO_OLD)
    if fields.get("decision") == "link":
        try:
            joined = await _identities(ask).link(offer.arrival, person)
        except LoginFailed as failure:
            return _said(ask, failure, [("Your identities", IDENTITIES_PATH)])
        at, mfa = offer.arrival.authenticated_at, offer.arrival.mfa
        browser = await browser_of(ask)  # whose person has one identity more now
        browser = await oauth.browsers.log_in(browser, joined, at=at, mfa=mfa)
        return redirect(IDENTITIES_PATH, {**_NO_STORE, "set-cookie": oauth.browsers.cookie_of(browser)})
    return redirect(IDENTITIES_PATH, _NO_STORE)


async def unlink(ask: Ask) -> Reply:
    """Somebody parts one of their identities from the others."""
    got = await proven_form(ask)
    if isinstance(got, Reply):
        return got
    browser, fields = got
    if browser.person is None:
        return redirect("/v2/web/login", _NO_STORE)
    try:
        parted = await _identities(ask).unlink(browser.person, fields.get("identity", ""))
    except LoginFailed as failure:
        return _said(ask, failure, [("Your identities", IDENTITIES_PATH)])
    browser = await ask.uses.oauth.browsers.log_out(browser)
    text = f"{parted.username} is somebody of their own from now on. Log in anew, and so must your programs."
    links = [("Log in", "/v2/web/login")]
    return show(ask, browser, "message", title="No longer linked", text=text, is_bad=False, links=links)


# -- inside ----------------------------------------------------------------------------------------------------------


def _login(ask: Ask, name: str) -> UpstreamLogin | None:
    found = ask.uses.oauth.outside.get(name)
    return found if isinstance(found, UpstreamLogin) else None


def _identities(ask: Ask) -> OutsideIdentities:
    oauth = ask.uses.oauth
    return OutsideIdentities(oauth.people, oauth.tokens, oauth.clock)


def _wants_link(browser: Browser, mark: str) -> str:
    # No page of anybody else knows the mark, so nobody is sent off to be linked with somebody.
    is_ours = secrets.compare_digest(mark_of(browser, "link").encode(), mark.encode())
    if browser.person is None or not is_ours:
        raise stale("Linking begins on the page of your identities, while you are logged in.")
    return browser.person.identity.id


async def _wanted(ask: Ask, errand: Errand) -> Wanted:
    if errand is None:
        return NOTHING_ELSE
    oauth = ask.uses.oauth
    return wanted(errand.needs, await policies_of(oauth.people, errand.needs), oauth.clock.now())


async def _offered(ask: Ask, login: UpstreamLogin, browser: Browser, arrival: Arrival, link_to: str) -> Reply:
    oauth, person = ask.uses.oauth, browser.person
    if person is None or person.identity.id != link_to:
        raise stale("You are no longer logged in as who you were when you began.")
    known = await _identities(ask).known(arrival)
    if known is not None and any(one.id == known.id for one in person.identities):
        return _said(
            ask,
            LoginFailed(f"{arrival.username} at {login.name} is linked with you already. Nothing was changed.", 200),
            [("Your identities", IDENTITIES_PATH)],
        )
    text = secrets.token_urlsafe(32)
    offer: dict[str, Any] = msgspec.to_builtins(_Offer(arrival, link_to, mark_of(browser, "link")))
    await oauth.people.put_ticket(TicketRecord(_digest(text), _KIND, offer, oauth.clock.now() + AWAY_S))
    return show(
        ask,
        browser,
        "link",
        offer=text,
        place=login.name,
        there=arrival.username,
        name=arrival.name,
        username=person.identity.username,
    )


def _failed(ask: Ask, login: UpstreamLogin, failure: LoginFailed, asked: Asked | None = None) -> Reply:
    if failure.status >= 500:
        logger.warning("nobody can log in with %s: %s", login.settings.name, failure.message)
    if asked is not None and asked.link_to is not None:
        return _said(ask, failure, [("Your identities", IDENTITIES_PATH)])
    errand = "" if asked is None else f"?errand={quote(asked.errand)}"
    return _said(ask, failure, [("Log in", f"/v2/web/login{errand}")])


def _said(ask: Ask, failure: LoginFailed, links: list[tuple[str, str]]) -> Reply:
    is_bad = failure.status != 200
    title = "That did not work" if is_bad else "Nothing to do"
    return show(
        ask,
        None,
        "message",
        status=failure.status,
        title=title,
        text=failure.message,
        is_bad=is_bad,
        links=links,
    )


def _unknown(ask: Ask, name: str) -> Reply:
    return trouble(ask, f"Nobody logs in with {name[:40]} here. Look at the page to log in for what there is.", 404)


def _digest(text: str) -> bytes:
    return digest_of(f"upstream-link:{text}")
