"""What the pages about many users and lending say is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from afield.endpoint.manager.identity import ExternalMapping, read_rules

MACHINE = Path(__file__).parents[3] / "docs" / "howto" / "machine"
PAGE = (MACHINE / "many-users.md").read_text()
MAPPINGS = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_mappings_on_the_page_are_read_and_say_what_the_page_says():
    [by_rule], [by_program] = (read_rules(text, "page") for text in MAPPINGS)
    assert isinstance(by_program, ExternalMapping)
    robot = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
    for username, number, account in (
        ("ada@example.org", "1", "ada"),
        ("ADA@EXAMPLE.ORG", "1", "ADA"),
        ("x@client", robot, "robot"),
        ("ada@example.org.evil", "1", None),
    ):
        found = by_rule.candidates([{"id": number, "username": username, "status": "used"}])
        assert (found[0][number][0] if found else None) == account


@pytest.mark.anyio
async def test_the_pam_service_on_the_page_opens_a_session(running, many, mine, parts, ada, pam_service):
    [text] = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    mine.config.write_text(mine.config.read_text() + f"pam: {{enable: true, service_name: {pam_service(text)}}}\n")
    async with parts.over_sockets() as service, running(service):
        await service.command(many.CEP, many.start(service, many.identity(f"{ada.pw_name}@example.org")))
        await service.until(lambda: service.said_by(parts.UEP))
        assert service.said_by(parts.UEP)[0].get("active") is True


def active(states):
    return sum(bool(state.get("active")) for state in states)


@pytest.mark.anyio
async def test_what_was_used_is_counted_over_restarts_and_told_in_words(running, many, mine, parts, ada):
    mine.config.write_text(mine.config.read_text() + "lending: {tasks_per_day: 2, max_workers: 2, time_zone: UTC}\n")
    double = "def f(x):\n    return 2 * x"
    async with parts.over_sockets() as service:
        who = many.identity(f"{ada.pw_name}@example.org")
        for life in (1, 2):
            async with running(service):
                await service.command(many.CEP, many.start(service, who, max_workers=1))
                await service.until(
                    lambda life=life: sum(bool(s.get("active")) for s in service.said_by(parts.UEP)) == life
                )
                await service.send(*(parts.call(f"{life}{name}", double, 4) for name in "ab"[:life]))
                await service.until(lambda life=life: f"{life}{'ab'[life - 1]}" in service.results)
        assert [parts.value(service.results[name]) for name in ("1a", "2a")] == [8, 8]
        assert "lets each person begin 2 tasks a day" in service.results["2b"].data.decode()
        async with running(service):
            before = len(service.said_by(parts.UEP))
            await service.command(many.CEP, many.start(service, who, max_workers=3))
            await service.until(lambda: len(service.said_by(parts.UEP)) > before)
            error = service.said_by(parts.UEP)[-1]["error"]
        assert "asks for 3 workers, and the owner of this machine lends at most 2 (lending.max_workers)" in error
