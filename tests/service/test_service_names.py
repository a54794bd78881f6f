"""Names of queues, and what each login reaches."""

from __future__ import annotations

import pytest

from afield.service.domain import names
from afield.service.domain.names import ClientLogin, CoreLogin, UserLogin, parse_login, permissions

CORE, USER, PERSON = (f"{n}0000000-0000-4000-8000-000000000000" for n in (1, 2, 3))
GROUP = "40000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize("login", [CoreLogin(CORE, 1), UserLogin(USER, 12), ClientLogin(PERSON, 1_800_000_000)])
def test_a_login_is_read_from_its_name(login):
    assert parse_login(login.name) == login
    assert ":" not in login.name
    assert "@" not in login.name


@pytest.mark.parametrize(
    "name", ["", "cep", "cep.", "cep..1", f"cep.{CORE}", f"cep.{CORE}.", f"cep.{CORE}.-1", f"cep.{CORE}.x",
             f"cep.{CORE}.²", f"abc.{CORE}.1", f"cep.{CORE}.{'9' * 5000}", "guest"]
)  # fmt: skip
def test_other_names_are_no_logins(name):
    assert parse_login(name) is None


def test_a_core_endpoint_reaches_its_own_queues_only():
    may = permissions(CoreLogin(CORE, 1))
    assert may.may_consume(f"{CORE}.commands")
    assert not may.may_consume(f"{USER}.commands")
    assert not may.may_consume(f"{CORE}.tasks")
    assert may.may_publish("heartbeats", f"{CORE}.heartbeats")
    assert not may.may_publish("heartbeats", f"{USER}.heartbeats")
    assert not may.may_publish("commands", f"{CORE}.commands")
    assert not may.may_publish("tasks", f"{CORE}.tasks")


def test_a_user_endpoint_reaches_its_own_queues_only():
    may = permissions(UserLogin(USER, 1))
    assert may.may_consume(f"{USER}.tasks")
    assert may.may_consume(f"{USER}.control")
    assert not may.may_consume(f"{CORE}.control")
    assert not may.may_publish("tasks", f"{USER}.control")
    assert not may.may_consume(f"{CORE}.tasks")
    assert not may.may_consume("results")
    assert may.may_publish("results", f"{USER}.results")
    assert may.may_publish("heartbeats", f"{USER}.heartbeats")
    assert not may.may_publish("results", f"{CORE}.results")
    assert not may.may_publish("groups", f"{PERSON}.{GROUP}")


def test_endpoints_may_ask_for_what_they_write_to():
    """They check exchange and queue before they publish (wire contract, section 4.1)."""
    for login in (CoreLogin(CORE, 1), UserLogin(USER, 1)):
        assert permissions(login).may_inspect("results")
        assert permissions(login).may_inspect("heartbeats")
        assert not permissions(login).may_inspect("groups")


def test_a_client_reads_its_own_groups_and_writes_nothing():
    may = permissions(ClientLogin(PERSON, 1_800_000_000))
    assert may.may_consume(names.group_queue(PERSON, GROUP))
    assert not may.may_consume(names.group_queue(USER, GROUP))
    assert not may.may_consume("results")
    assert not any(may.may_publish(exchange, key) for exchange in names.EXCHANGES for key in (GROUP, "x.results"))


def test_group_queues_are_told_from_others():
    assert names.group_of_queue(names.group_queue(PERSON, GROUP)) == GROUP
    for other in (names.task_queue(USER), names.control_queue(USER), names.command_queue(CORE), "results"):
        assert names.group_of_queue(other) is None
