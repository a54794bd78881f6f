"""The link of an invitation into a group, opened in a browser."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio


async def invited(site, **wish: Any) -> tuple[str, str, str]:
    """A group of ada's, the path of an invitation into it, and her token."""
    token = (await site.tokens())["compute"]
    http, headers = site.http, {"Authorization": f"Bearer {token}"}
    made = (await http.post("/afield/v1/groups", json={"name": "The <b>lab</b>"}, headers=headers)).json()
    path = f"/afield/v1/groups/{made['id']}/invitations"
    invitation = (await http.post(path, json=wish, headers=headers)).json()
    return made["id"], invitation["link"], token


def visitor(site):
    person = site.person()
    person.http.headers["accept"] = "text/html,application/xhtml+xml,*/*;q=0.8"
    return person


async def members(site, group: str, token: str) -> dict[str, str]:
    shown = (await site.get(f"/afield/v1/groups/{group}", token)).json()
    return {one["username"]: one["role"] for one in shown["members"]}


async def opened_by_bob(site, link: str):
    person = visitor(site)
    page = await person.get(link)
    href = page.text.partition('class="button" href="')[2].partition('"')[0]
    page = await person.get(href)
    assert "Log in to answer the invitation" in site.words(page)
    await person.log_in("bob")
    return person


async def test_who_opens_it_logs_in_reads_and_joins(site):
    await site.account("bob")
    group, link, token = await invited(site, role="manager")
    page = await visitor(site).get(link)
    assert "Log in to answer" in site.words(page)
    assert page.headers["vary"] == "accept"
    person = await opened_by_bob(site, link)
    said = site.words(person.page)
    assert "ada invites you to the group The &lt;b&gt;lab&lt;/b&gt;" in said
    assert "As manager" in said
    assert "logged in as bob" in said
    assert await members(site, group, token) == {"ada": "manager"}
    page = await person.submit(decision="accept")
    assert "You are in the group" in site.words(page)
    assert await members(site, group, token) == {"ada": "manager", "bob": "manager"}
    page = await visitor(site).get(link)
    assert (page.status_code, "There is no such invitation" in site.words(page)) == (404, True)


async def test_who_declines_one_of_their_own_uses_it_up(site):
    await site.account("bob")
    group, link, token = await invited(site, username="bob")
    person = await opened_by_bob(site, link)
    assert "You did not join" in site.words(await person.submit(decision="decline"))
    assert await members(site, group, token) == {"ada": "manager"}
    assert (await person.get(link)).status_code == 404


async def test_who_declines_one_for_anybody_leaves_it_to_others(site):
    await site.account("bob")
    _, link, _ = await invited(site)
    person = await opened_by_bob(site, link)
    await person.submit(decision="decline")
    assert "Join the group" in site.words(await person.get(link))


async def test_one_for_somebody_else_says_so_and_lets_nobody_in(site):
    await site.account("bob")
    await site.account("carol")
    group, link, token = await invited(site, username="carol")
    person = await opened_by_bob(site, link)
    assert "is for somebody else than bob" in site.words(person.page)
    assert "<form" not in person.page.text
    await person.get("/v2/web/logout")
    proof = person.form_of(person.page.text)["proof"]
    form = {"proof": proof, "code": link.rpartition("/")[2], "decision": "accept"}
    assert (await person.http.post("/v2/web/group-invitation", data=form)).status_code == 404
    assert await members(site, group, token) == {"ada": "manager"}


async def test_who_is_in_the_group_already_has_nothing_to_do(site):
    _, link, _ = await invited(site)
    person = visitor(site)
    await person.get("/v2/web/login")
    await person.log_in()
    page = await person.get(link)
    assert "You are in this group already" in site.words(page)
    assert "<form" not in page.text


async def test_without_the_proof_of_this_browser_nobody_joins(site):
    await site.account("bob")
    group, link, token = await invited(site)
    person = await opened_by_bob(site, link)
    assert (await person.submit(decision="accept", proof="forged")).status_code == 400
    await person.get(link)
    stranger = visitor(site)
    await stranger.get("/v2/web/login")
    theirs = stranger.form_of(stranger.page.text)["proof"]
    assert (await person.submit(decision="accept", proof=theirs)).status_code == 400
    assert await members(site, group, token) == {"ada": "manager"}


async def test_who_is_logged_out_meanwhile_is_asked_to_log_in(site):
    await site.account("bob")
    group, link, token = await invited(site)
    person = visitor(site)
    await person.get("/v2/web/login")
    proof = person.form_of(person.page.text)["proof"]
    form = {"proof": proof, "code": link.rpartition("/")[2], "decision": "accept"}
    answer = await person.http.post("/v2/web/group-invitation", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, link)
    assert await members(site, group, token) == {"ada": "manager"}


async def test_a_program_still_gets_json(site):
    group, link, _ = await invited(site)
    assert (await site.http.get(link)).json()["group_id"] == group
