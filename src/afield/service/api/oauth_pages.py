"""The authorization server for people: a request comes in, they log in, they consent, and go back with a code.

Each page carries the *errand* for which somebody came, sealed (:mod:`afield.service.auth.oauth.sealed`); whatever is
done, it ends at :func:`go_on`, which looks at errand and browser and says what comes next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from afield.service.api.ask import Ask
from afield.service.api.oauth import form_of, here
from afield.service.api.reply import Reply, redirect
from afield.service.auth.oauth import redirects
from afield.service.auth.oauth.authorize import AuthorizationRequest, SentBack, parse_request, policies_of
from afield.service.auth.oauth.browser import Browser, LoggedIn
from afield.service.auth.oauth.clients import find_client
from afield.service.auth.oauth.device import DeviceRequest
from afield.service.auth.oauth.errands import Errand, JoinRequest, ProgramErrand, Visit
from afield.service.auth.oauth.fields import parse_fields
from afield.service.auth.oauth.login import TooMany, WrongLogin
from afield.service.auth.oauth.needs import asked, unmet
from afield.service.auth.oauth.problems import OAuthError
from afield.service.auth.oauth.scopes import SCOPES
from afield.service.domain.people import ClientRecord, ConsentRecord, IdentityRecord
from afield.service.use.people.invitations import LINK

__all__ = [
    "authorize",
    "browser_of",
    "consent",
    "consent_values",
    "go_on",
    "is_unmet",
    "join_url",
    "log_in",
    "logged_in",
    "login_page",
    "pasted_code",
    "proven_form",
    "remember_consent",
    "show",
    "style",
    "too_many",
    "trouble",
]

_NO_STORE: Final = {"cache-control": "no-store", "referrer-policy": "no-referrer"}
#: What somebody who is logged in may want.
_FOR_ONESELF: Final = [
    ("Your identities", "/v2/web/identities"),
    ("Change the password", "/v2/web/password"),
    ("Log out", "/v2/web/logout"),
]
_TOO_OLD: Final = "This page is no longer good: it was open for too long, or comes from elsewhere. Start again."


async def authorize(ask: Ask) -> Reply:
    """A program sends somebody here (RFC 6749 section 4.1.1)."""
    oauth = ask.uses.oauth
    try:
        fields = parse_fields(ask.query_string)
        request = await parse_request(oauth.people, fields, here(ask), oauth.clock.now())
    except OAuthError as error:
        return trouble(ask, error.message, error.status)
    except SentBack as sent:
        return _away(sent.url, is_pasted=sent.is_pasted)
    return _to("/v2/web/continue", oauth.errands.close(request))


async def front(ask: Ask) -> Reply:
    """What somebody sees who came to the address of the service."""
    browser = await browser_of(ask)
    links = _FOR_ONESELF if browser.person is not None else [("Log in", "/v2/web/login")]
    text = (
        "This service runs Python functions on machines elsewhere. To use it, install afield, and run "
        f"afield login --service {here(ask)} in a terminal."
    )
    links = [*links, ("Type the code that a terminal or notebook shows", "/device")]
    return show(ask, browser, "message", title="Welcome", text=text, is_bad=False, links=links)


async def go_on(ask: Ask) -> Reply:
    """What comes next for whoever sits there: log in, consent, or go back with a code."""
    browser, visit = await browser_of(ask), _visit(ask)
    if visit is None:
        return trouble(ask, _TOO_OLD)
    person, errand = browser.person, visit.errand
    try:
        is_missing = await is_unmet(ask, errand, person)
    except OAuthError as error:
        return _refused(ask, errand, error)
    if is_missing or person is None:
        if isinstance(errand, AuthorizationRequest) and errand.silent:
            return _refused(ask, errand, OAuthError("login_required", "Nobody who would do is logged in."))
        return _to("/v2/web/login", visit.text)
    if errand is None:
        said = f"You are {person.identity.username} on this service. You may close this page."
        return show(ask, browser, "message", title="You are logged in", text=said, is_bad=False, links=_FOR_ONESELF)
    if isinstance(errand, JoinRequest):
        return redirect(join_url(errand.code), _NO_STORE)
    client = await find_client(ask.uses.oauth.people, errand.client_id)
    if client is None:
        return trouble(ask, "The program that sent you here may not be used any more. Ask whoever runs it.")
    if isinstance(errand, DeviceRequest):
        return show(ask, browser, "consent", **consent_values(ask, client, errand, person, visit.text))
    return await _consented(ask, browser, client, errand, visit)


async def _consented(
    ask: Ask, browser: Browser, client: ClientRecord, errand: AuthorizationRequest, visit: Visit
) -> Reply:
    oauth, person = ask.uses.oauth, browser.person
    assert person is not None
    before = await oauth.people.consent(person.identity.id, client.id)
    # Anybody can say that they are a program without a secret, so a person is asked each time (RFC 8252 section 8.6).
    is_known = client.secret_digest is not None and before is not None and set(errand.scopes) <= set(before.scopes)
    if is_known and not errand.asks_again:
        return await _with_code(ask, client, errand, person)
    if errand.silent:
        return _refused(ask, errand, OAuthError("consent_required", "The person has not consented to this yet."))
    values = consent_values(ask, client, errand, person, visit.text)
    leads_to = None if errand.is_pasted else redirects.origin_of(errand.redirect_uri)
    return show(ask, browser, "consent", leads_to=leads_to, **values)


async def consent(ask: Ask) -> Reply:
    """Somebody says yes or no."""
    oauth = ask.uses.oauth
    got = await proven_form(ask)
    if isinstance(got, Reply):
        return got
    browser, fields = got
    visit = oauth.errands.open(fields)
    if visit is None or not isinstance(visit.errand, AuthorizationRequest):
        return trouble(ask, _TOO_OLD)
    errand, person = visit.errand, browser.person
    client = await find_client(oauth.people, errand.client_id)
    if client is None or person is None or await is_unmet(ask, errand, person):
        return _to("/v2/web/continue", visit.text)
    if fields.get("decision") != "allow":
        return _refused(ask, errand, OAuthError("access_denied", "The person said no."))
    await remember_consent(ask, person, client.id, errand.scopes)
    return await _with_code(ask, client, errand, person)


async def remember_consent(ask: Ask, person: LoggedIn, client_id: str, scopes: tuple[str, ...]) -> None:
    """Keep to what somebody said yes, with what they said yes to before."""
    people, identity_id = ask.uses.oauth.people, person.identity.id
    before = await people.consent(identity_id, client_id)
    every = tuple(dict.fromkeys([*(before.scopes if before is not None else ()), *scopes]))
    await people.put_consent(ConsentRecord(identity_id, client_id, every, ask.uses.oauth.clock.now()))


async def _with_code(ask: Ask, client: ClientRecord, errand: AuthorizationRequest, person: LoggedIn) -> Reply:
    code = await ask.uses.oauth.codes.give(errand, person, errand.label or client.name)
    url = redirects.with_query(errand.redirect_uri, {"code": code, "state": errand.state})
    return _away(url, is_pasted=errand.is_pasted)


async def login_page(ask: Ask) -> Reply:
    """Log in, or log in as somebody else."""
    visit = _visit(ask)
    if visit is None:
        return trouble(ask, _TOO_OLD)
    return await _login(ask, await browser_of(ask), visit)


async def log_in(ask: Ask) -> Reply:
    """Somebody logs in with a local account."""
    oauth = ask.uses.oauth
    got = await proven_form(ask)
    if isinstance(got, Reply):
        return got
    browser, fields = got
    visit = oauth.errands.open(fields)
    if visit is None:
        return trouble(ask, _TOO_OLD)
    username, password = fields.get("username", ""), fields.get("password", "")
    try:
        identity = await oauth.login.log_in(username, password, ask.address(oauth.proxies))
    except WrongLogin:
        wrong = "That is not the username and password of an account here. Look at both, and try again."
        return await _login(ask, browser, visit, wrong=wrong, username=username[:256], status=403)
    except TooMany as error:
        return await _login(ask, browser, visit, username=username[:256], **too_many(error))
    return await logged_in(ask, browser, identity, visit.text)


async def logged_in(ask: Ask, browser: Browser, identity: IdentityRecord, errand: str, *, mfa: bool = False) -> Reply:
    """Somebody has proven who they are, here or elsewhere: go on with their errand.

    :param errand: its text, as it was carried along
    :param mfa: with more than one factor
    """
    browsers = ask.uses.oauth.browsers
    browser = await browsers.log_in(browser, identity, mfa=mfa)
    return _to("/v2/web/continue", errand, {"set-cookie": browsers.cookie_of(browser)})


async def pasted_code(ask: Ask) -> Reply:
    """The code, for a person to copy."""
    try:
        fields = parse_fields(ask.query_string)
    except OAuthError as error:
        return trouble(ask, error.message)
    code = fields.get("code", "")
    if not code or len(code) > 200 or not code.isascii() or not code.isprintable():
        said = fields.get("error_description", "There is no code here. Start the login again, where you need it.")
        return trouble(ask, said[:300], 400 if "error" not in fields else 200)
    minutes = f"{ask.uses.oauth.times.pasted_code_s / 60:.0f} minutes"
    return ask.uses.oauth.pages.page("code", {"code": code, "minutes": minutes, "host": _host(ask)})


async def style(ask: Ask) -> Reply:
    """Our style."""
    return ask.uses.oauth.pages.style


# -- what the pages have in common -----------------------------------------------------------------------------------


async def browser_of(ask: Ask) -> Browser:
    """Whose browser it is."""
    browsers = ask.uses.oauth.browsers
    return await browsers.look(ask.cookie(browsers.cookie_name))


def join_url(code: str) -> str:
    """Where an invitation into a group is answered."""
    return LINK + quote(code, safe="")


async def proven_form(ask: Ask) -> tuple[Browser, dict[str, str]] | Reply:
    """A form that came from a page which this browser got from here; or what to say of one that did not."""
    try:
        fields = await form_of(ask)
    except OAuthError as error:
        return trouble(ask, error.message, error.status)
    browser = await browser_of(ask)
    if not ask.uses.oauth.browsers.is_proof(browser, fields.get("proof", "")):
        return trouble(ask, f"{_TOO_OLD} If that happens again, let your browser keep cookies of this service.")
    return browser, fields


def show(
    ask: Ask,
    browser: Browser | None,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    leads_to: str | None = None,
    **values: Any,
) -> Reply:
    """A page for a browser."""
    oauth = ask.uses.oauth
    values["host"] = _host(ask)
    said = dict(headers or {})
    if browser is not None:
        values["proof"] = oauth.browsers.proof_of(browser)
        if browser.is_new:
            said["set-cookie"] = oauth.browsers.cookie_of(browser)
    return oauth.pages.page(template, values, status=status, headers=said, leads_to=leads_to)


def trouble(ask: Ask, text: str, status: int = 400) -> Reply:
    """A page that says what cannot be."""
    return show(ask, None, "message", status=status, title="That did not work", text=text, is_bad=True, links=[])


def too_many(error: TooMany) -> dict[str, Any]:
    """What is shown of too many tries."""
    seconds = int(error.wait_s) + 1
    return {
        "wrong": f"There were too many tries. Try again in {-(-seconds // 60)} minutes.",
        "status": 429,
        "headers": {"retry-after": str(seconds)},
    }


async def is_unmet(ask: Ask, errand: Errand, person: LoggedIn | None) -> bool:
    """Whether something is missing of the login that an errand needs.

    :raises OAuthError: it needs a policy that there is not
    """
    if person is None or errand is None:
        return person is None
    oauth = ask.uses.oauth
    policies = await policies_of(oauth.people, errand.needs)
    return unmet(errand.needs, person.session, person.identities, policies, oauth.clock.now())


def consent_values(
    ask: Ask, client: ClientRecord, errand: ProgramErrand, person: LoggedIn, text: str
) -> dict[str, Any]:
    """What the page that asks for consent shows."""
    details, warning, action = [], None, "/v2/web/consent"
    if isinstance(errand, DeviceRequest):
        minutes = int((ask.uses.oauth.clock.now() - errand.asked_at) // 60)
        code = f"{errand.user_code[:4]}-{errand.user_code[4:]}"
        details = [
            ("Code", code),
            ("Asked from", errand.address or "unknown"),
            ("Asked", f"{minutes} min ago" if minutes else "a moment ago"),
        ]
        warning = "Allow this only if you started it yourself, and your terminal or notebook shows this code."
        action = "/v2/web/device"
    elif not errand.is_pasted:
        # Anybody may call a program as they like; where it is, they cannot choose.
        details = [("Sends you to", redirects.origin_of(errand.redirect_uri))]
    return {
        "program": client.name,
        "label": errand.label,
        "message": errand.needs.message,
        "scopes": [SCOPES[scope].words for scope in errand.scopes],
        "offline": errand.offline,
        "details": details,
        "warning": warning,
        "action": action,
        "errand": text,
        "username": person.identity.username,
    }


def _visit(ask: Ask) -> Visit | None:
    try:
        return ask.uses.oauth.errands.open(parse_fields(ask.query_string))
    except OAuthError:
        return None


async def _login(ask: Ask, browser: Browser, visit: Visit, *, wrong: str | None = None, **more: Any) -> Reply:
    oauth, errand = ask.uses.oauth, visit.errand
    places = [{"name": one.name, "url": one.url(visit.text)} for one in oauth.outside.values()]
    values = {"wrong": wrong, "errand": visit.text, "program": None, "message": None, "asked": None, "username": ""}
    if isinstance(errand, JoinRequest):
        values["asked"] = "Log in to answer the invitation into a group."
    elif errand is not None:
        client = await find_client(oauth.people, errand.client_id)
        needs = errand.needs
        named = {one.id: one.username for one in (await oauth.people.identities(needs.identities)).values()}
        try:
            values["asked"] = asked(needs, await policies_of(oauth.people, needs), named)
        except OAuthError as error:
            return _refused(ask, errand, error)
        values["program"] = "A program" if client is None else client.name
        values["message"] = needs.message
        values["username"] = named.get(needs.identities[0], "") if needs.identities else ""
    if browser.person is not None:
        values["now"] = browser.person.identity.username
    return show(ask, browser, "login", places=places, **{"now": None, **values, **more})


def _refused(ask: Ask, errand: Errand, error: OAuthError) -> Reply:
    if not isinstance(errand, AuthorizationRequest):
        return trouble(ask, error.message)
    sent = SentBack(errand.redirect_uri, errand.state, error, is_pasted=errand.is_pasted)
    return _away(sent.url, is_pasted=errand.is_pasted)


def _away(url: str, *, is_pasted: bool) -> Reply:
    # Our own page stays on the host by which the browser came: the program may know us by another name.
    target = redirects.PASTE_PATH + url[url.index("?") :] if is_pasted else url
    return redirect(target, _NO_STORE)


def _to(path: str, errand: str, headers: Mapping[str, str] | None = None) -> Reply:
    return redirect(f"{path}?errand={errand}", {**_NO_STORE, **(headers or {})})


def _host(ask: Ask) -> str:
    try:
        return here(ask).partition("://")[2]
    except OAuthError:
        return ""
