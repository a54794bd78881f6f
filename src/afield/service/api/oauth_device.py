"""The pages on which a person connects a device that has no browser (RFC 8628 section 3.3)."""

from __future__ import annotations

from afield.service.api.ask import Ask
from afield.service.api.oauth_pages import (
    browser_of,
    is_unmet,
    proven_form,
    remember_consent,
    show,
    trouble,
)
from afield.service.api.reply import Reply, redirect
from afield.service.auth.oauth.browser import Browser
from afield.service.auth.oauth.device import DeviceRequest
from afield.service.auth.oauth.fields import parse_fields
from afield.service.auth.oauth.problems import OAuthError

__all__ = ["confirm", "page", "typed"]


async def page(ask: Ask) -> Reply:
    """Where the code is typed."""
    try:
        fields = parse_fields(ask.query_string)
    except OAuthError as error:
        return trouble(ask, error.message)
    return _page(ask, await browser_of(ask), fields.get("user_code", "")[:20])


async def typed(ask: Ask) -> Reply:
    """A code was typed."""
    oauth = ask.uses.oauth
    got = await proven_form(ask)
    if isinstance(got, Reply):
        return got
    browser, fields = got
    code = fields.get("user_code", "")[:20]
    try:
        request = await oauth.devices.find(code, ask.address(oauth.proxies))
    except OAuthError as error:
        return _page(ask, browser, code, wrong=error.message, status=error.status)
    if request is None:
        wrong = "There is no such code, or it has expired. Look at it once more, or start again on the device."
        return _page(ask, browser, code, wrong=wrong, status=400)
    errand = oauth.errands.close(request)
    return redirect(f"/v2/web/continue?errand={errand}", {"cache-control": "no-store"})


async def confirm(ask: Ask) -> Reply:
    """Somebody lets the device in, or not."""
    oauth = ask.uses.oauth
    got = await proven_form(ask)
    if isinstance(got, Reply):
        return got
    browser, fields = got
    visit, person = oauth.errands.open(fields), browser.person
    if visit is None or not isinstance(visit.errand, DeviceRequest):
        return trouble(ask, "This page is no longer good. Start again on the device.")
    errand = visit.errand
    if person is None or await is_unmet(ask, errand, person):
        return redirect(f"/v2/web/continue?errand={visit.text}", {"cache-control": "no-store"})
    is_allowed = fields.get("decision") == "allow"
    if not await oauth.devices.answer(errand, person if is_allowed else None):
        return trouble(ask, "The code has expired, or was answered before. Start again on the device.")
    if not is_allowed:
        return _end(ask, browser, "Denied", "The device was not connected. You may close this page.")
    await remember_consent(ask, person, errand.client_id, errand.scopes)
    return _end(ask, browser, "Connected", "Go back to your terminal or notebook: it goes on there in a few seconds.")


def _page(ask: Ask, browser: Browser, user_code: str, *, wrong: str | None = None, status: int = 200) -> Reply:
    return show(ask, browser, "device", status=status, user_code=user_code, wrong=wrong)


def _end(ask: Ask, browser: Browser, title: str, text: str) -> Reply:
    return show(ask, browser, "message", title=title, text=text, is_bad=False, links=[])
