"""The pages on which people log out, and set the password of their account."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from afield.service.api.ask import Ask
from afield.service.api.oauth_pages import browser_of, proven_form, show, too_many, trouble
from afield.service.api.reply import Reply, redirect
from afield.service.auth.oauth.browser import Browser
from afield.service.auth.oauth.fields import parse_fields
from afield.service.auth.oauth.invitation import INVITATION_PATH
from afield.service.auth.oauth.login import TooMany, WrongLogin
from afield.service.auth.oauth.problems import OAuthError
from afield.service.auth.passwords import SHORTEST, check_new_password
from afield.service.domain.people import AccountRecord
from afield.service.domain.refusals import Refusal

__all__ = ["change_password", "invitation", "log_out", "logout_page", "password_page", "set_password"]

_GONE: Final = "This link works no more: it was used, or is too old. Ask whoever runs this service for a new one."
_DIFFER: Final = "The two new passwords are not the same. Type them again."


async def logout_page(ask: Ask) -> Reply:
    """Asks whether to log out; a link alone logs nobody out."""
    browser = await browser_of(ask)
    if browser.person is None:
        return _logged_out(ask, browser)
    return show(ask, browser, "logout", username=browser.person.identity.username)


async def log_out(ask: Ask) -> Reply:
    """Log out in this browser."""
    got = await proven_form(ask)
    if isinstance(got, Reply):
        return got
    return _logged_out(ask, await ask.uses.oauth.browsers.log_out(got[0]))


def _logged_out(ask: Ask, browser: Browser) -> Reply:
    text = "You are not logged in in this browser. Programs that you let act for you go on."
    links = [("Log in", "/v2/web/login")]
    return show(ask, browser, "message", title="Logged out", text=text, is_bad=False, links=links)


async def invitation(ask: Ask) -> Reply:
    """Somebody follows a link to set their password."""
    try:
        ticket = parse_fields(ask.query_string).get("ticket", "")
    except OAuthError as error:
        return trouble(ask, error.message)
    account = await ask.uses.oauth.invitations.account(ticket)
    if account is None:
        return trouble(ask, _GONE, 404)
    return _invited(ask, await browser_of(ask), account, ticket)


async def set_password(ask: Ask) -> Reply:
    """Set it, by a link."""
    oauth = ask.uses.oauth
    got = await proven_form(ask)
    if isinstance(got, Reply):
        return got
    browser, fields = got
    ticket, password = fields.get("ticket", ""), fields.get("new", "")
    account = await oauth.invitations.account(ticket)
    if account is None:
        return trouble(ask, _GONE, 404)
    if password != fields.get("again", ""):
        return _invited(ask, browser, account, ticket, wrong=_DIFFER)
    try:
        is_set = await oauth.invitations.set_password(ticket, password) is not None
    except Refusal as refusal:
        return _invited(ask, browser, account, ticket, wrong=refusal.message)
    if not is_set:
        return trouble(ask, _GONE, 404)
    if fields.get("revoke") == "yes":
        await oauth.tokens.revoke_all(identity_id=account.identity_id)
    text = f"Log in with it as {account.username} from now on."
    links = [("Log in", "/v2/web/login")]
    return show(ask, browser, "message", title="Your password is set", text=text, is_bad=False, links=links)


def _invited(ask: Ask, browser: Browser, account: AccountRecord, ticket: str, wrong: str | None = None) -> Reply:
    title = "Welcome: set a password" if account.password is None else "Set a new password"
    return _form(
        ask, browser, account, wrong, title=title, action=INVITATION_PATH, ticket=ticket, asks_old=False
    )  # fmt: skip


async def password_page(ask: Ask) -> Reply:
    """Where somebody who is logged in changes their password."""
    browser = await browser_of(ask)
    account = await _account_of(ask, browser)
    return redirect("/v2/web/login") if account is None else _own(ask, browser, account)


async def change_password(ask: Ask) -> Reply:
    """Change it. Other browsers are logged out by that."""
    oauth = ask.uses.oauth
    got = await proven_form(ask)
    if isinstance(got, Reply):
        return got
    browser, fields = got
    account = await _account_of(ask, browser)
    if account is None:
        return redirect("/v2/web/login")
    password = fields.get("new", "")
    if password != fields.get("again", ""):
        return _own(ask, browser, account, wrong=_DIFFER)
    try:
        check_new_password(password, account.username)
        identity = await oauth.login.log_in(account.username, fields.get("old", ""), ask.address(oauth.proxies))
    except Refusal as refusal:
        return _own(ask, browser, account, wrong=refusal.message)
    except WrongLogin:
        return _own(ask, browser, account, wrong="Your password so far is another one.")
    except TooMany as error:
        return _own(ask, browser, account, wrong=too_many(error)["wrong"])
    kept = await oauth.passwords.hash(password)
    if not await _replace_password(ask, account.identity_id, kept):
        return trouble(ask, "This account is not in use any more. Ask whoever runs this service.", 403)
    if fields.get("revoke") == "yes":
        await oauth.tokens.revoke_all(identity_id=account.identity_id)
    browser = await oauth.browsers.log_in(browser, identity)
    text = "Log in with the new one from now on. Other browsers are logged out."
    return show(ask, browser, "message", title="Your password is set", text=text, is_bad=False, links=[])


async def _replace_password(ask: Ask, identity_id: str, kept: str) -> bool:
    """Whether that was done. What somebody else does to the account meanwhile, such as disabling it, stays."""
    people = ask.uses.oauth.people
    while (before := await people.account_of(identity_id)) is not None and before.disabled_at is None:
        if await people.change_account(before, msgspec.structs.replace(before, password=kept)):
            return True
    return False


def _own(ask: Ask, browser: Browser, account: AccountRecord, wrong: str | None = None) -> Reply:
    return _form(
        ask, browser, account, wrong, title="Change your password", action="/v2/web/password", ticket="", asks_old=True
    )  # fmt: skip


def _form(ask: Ask, browser: Browser, account: AccountRecord, wrong: str | None, **values: Any) -> Reply:
    return show(
        ask,
        browser,
        "password",
        status=200 if wrong is None else 422,
        username=account.username,
        is_first=account.password is None,
        wrong=wrong,
        shortest=SHORTEST,
        **values,
    )


async def _account_of(ask: Ask, browser: Browser) -> AccountRecord | None:
    # Of the identities that logged in here, the one that has a password.
    for identity_id in () if browser.person is None else browser.person.session.authenticated_at:
        account = await ask.uses.oauth.people.account_of(identity_id)
        if account is not None and account.password is not None:
            return account
    return None
