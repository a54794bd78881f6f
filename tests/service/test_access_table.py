"""The one table: every action, towards every kind of record, for everybody."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from afield.service.domain.access import TABLE, Action, Role, decide
from afield.service.domain.caller import Caller
from afield.service.domain.people import (
    AccountRecord,
    ClientRecord,
    GrantRecord,
    GrantRole,
    IdentityRecord,
    MemberRecord,
    MemberRole,
    PolicyRecord,
    Principal,
    TeamRecord,
    TokenRecord,
)
from afield.service.domain.records import EndpointRecord, FunctionRecord, TaskGroupRecord, TaskView
from afield.states import TaskState


def person(name: str) -> IdentityRecord:
    return IdentityRecord(name, name, name, f"{name}@example.org", 0.0)


def grant(to: str, role: GrantRole, principal: Principal = Principal.IDENTITY, of: str = "e") -> GrantRecord:
    return GrantRecord(of, principal, to, role, 0.0)


#: Who asks, by letter: owner, linked to the owner, admin by the endpoint's file, granted manage, run, view, member of
#: a group, its manager, operator of the service, nobody of these.
PEOPLE = {
    "o": Caller(person("owner")),
    "l": Caller(person("other"), linked=(person("owner"),)),
    "a": Caller(person("admin")),
    "m": Caller(person("manager")),
    "r": Caller(person("runner")),
    "v": Caller(person("viewer")),
    "t": Caller(person("teammate"), teams=frozenset({"team"})),
    "k": Caller(person("keeper"), teams=frozenset({"team"})),
    "p": Caller(person("operator"), is_admin=True),
    "x": Caller(person("stranger"), teams=frozenset({"another"})),
}
EVERYBODY = "".join(PEOPLE)

#: Ties of everybody but the owner; those of other things must not lead anywhere.
TIES = (
    grant("manager", GrantRole.MANAGE),
    grant("runner", GrantRole.RUN),
    grant("viewer", GrantRole.VIEW),
    grant("team", GrantRole.RUN, Principal.TEAM),
    grant("stranger", GrantRole.MANAGE, of="another"),
    grant("stranger", GrantRole.MANAGE, Principal.TEAM),  # a group of that id, not the person
    MemberRecord("team", "keeper", MemberRole.MANAGER, 0.0),
    MemberRecord("team", "teammate", MemberRole.MEMBER, 0.0),
    MemberRecord("another", "stranger", MemberRole.MANAGER, 0.0),
)


def function(**said: Any) -> FunctionRecord:
    return FunctionRecord("f", "owner", "f", b"", 0.0, **said)


def endpoint(*, wire: int = 2, **said: Any) -> EndpointRecord:
    return EndpointRecord("e", "owner", "e", 0.0, metadata={"afield_wire": wire}, admins=["admin"], **said)


TASK = TaskView("t", "g", "owner", "e", "u", "f", TaskState.RECEIVED, 0.0)
GROUP = TaskGroupRecord("g", "owner", 0.0)
TEAM = TeamRecord("team", "team", 0.0)
POLICY = PolicyRecord("p", "owner", "p", 0.0)
TOKEN = TokenRecord(b"digest", "owner", "label", 0.0)
CLIENT = ClientRecord("client", "robot", "owner", 0.0)
ACCOUNT = AccountRecord("owner", "name", 0.0)

F, E, T = "FUNCTION_ACCESS_FORBIDDEN", "ENDPOINT_ACCESS_FORBIDDEN", "TASK_NOT_FOUND"
PUBLIC, MAPPED, OLD = endpoint(public=True), endpoint(multi_user=True), endpoint(wire=1)
HIDDEN = {"TASK_NOT_FOUND", "GROUP_NOT_FOUND", "TOKEN_NOT_FOUND", "CLIENT_NOT_FOUND", "ACCOUNT_NOT_FOUND"}

#: (action, record, who may, what the others are told)
EXPECTED: list[tuple[Action, Any, str, str]] = [
    (Action.READ_FUNCTION, function(), "ol", F),
    (Action.READ_FUNCTION, function(group_id="team"), "oltk", F),
    (Action.READ_FUNCTION, function(public=True), EVERYBODY, F),
    (Action.RUN_FUNCTION, function(), "ol", F),
    (Action.RUN_FUNCTION, function(group_id="team"), "oltk", F),
    (Action.RUN_FUNCTION, function(public=True), EVERYBODY, F),
    (Action.DELETE_FUNCTION, function(), "ol", F),
    (Action.DELETE_FUNCTION, function(public=True, group_id="team"), "ol", F),
    (Action.SEE_ENDPOINT, endpoint(), "olamrvtk", E),
    (Action.SEE_ENDPOINT, OLD, "olamrvtk", E),
    (Action.SEE_ENDPOINT, PUBLIC, EVERYBODY, E),
    (Action.SEE_ENDPOINT, MAPPED, EVERYBODY, E),
    (Action.RUN_ON_ENDPOINT, endpoint(), "olmrtk", E),
    (Action.RUN_ON_ENDPOINT, PUBLIC, "olmrtk", E),
    (Action.RUN_ON_ENDPOINT, MAPPED, EVERYBODY, E),
    (Action.RUN_ON_ENDPOINT, endpoint(multi_user=True, wire=1), EVERYBODY, E),
    (Action.RUN_ON_ENDPOINT, OLD, "ol", E),
    (Action.REGISTER_ENDPOINT, endpoint(public=True, multi_user=True), "ol", E),
    (Action.LOCK_ENDPOINT, endpoint(public=True, multi_user=True), "olam", E),
    (Action.DELETE_ENDPOINT, endpoint(public=True, multi_user=True), "olam", E),
    (Action.SEE_GRANTS, endpoint(public=True, multi_user=True), "olam", E),
    (Action.SHARE_ENDPOINT, endpoint(public=True, multi_user=True), "olm", E),
    (Action.READ_TASK, TASK, "ol", T),
    (Action.CANCEL_TASK, TASK, "ol", T),
    (Action.USE_GROUP, GROUP, "ol", "TASK_GROUP_ACCESS_FORBIDDEN"),
    (Action.SEE_TEAM, TEAM, "tkp", "GROUP_NOT_FOUND"),
    (Action.MANAGE_TEAM, TEAM, "kp", "GROUP_NOT_FOUND"),
    (Action.SEE_POLICY, POLICY, EVERYBODY, ""),
    (Action.CHANGE_POLICY, POLICY, "olp", "POLICY_ACCESS_FORBIDDEN"),
    (Action.USE_TOKEN, TOKEN, "ol", "TOKEN_NOT_FOUND"),
    (Action.USE_CLIENT, CLIENT, "olp", "CLIENT_NOT_FOUND"),
    (Action.USE_ACCOUNT, ACCOUNT, "olp", "ACCOUNT_NOT_FOUND"),
    (Action.MANAGE_ACCOUNT, ACCOUNT, "p", "OPERATORS_ONLY"),
]


@pytest.mark.parametrize(("action", "record", "may", "code"), EXPECTED)
def test_who_may(action, record, may, code):
    told = {letter: decide(action, caller, record, TIES) for letter, caller in PEOPLE.items()}
    assert [letter for letter in EVERYBODY if told[letter] is None] == [each for each in EVERYBODY if each in may]
    for letter, refusal in told.items():
        if refusal is None:
            continue
        if (action, letter) == (Action.MANAGE_TEAM, "t"):
            assert (refusal.status, refusal.code) == (403, "GROUP_ACCESS_FORBIDDEN")
            continue
        assert (refusal.status, refusal.code) == (404 if code in HIDDEN else 403, code)


def test_a_guest_of_a_published_endpoint_is_told_why_and_what_would_help():
    refusal = decide(Action.RUN_ON_ENDPOINT, PEOPLE["r"], OLD, TIES)
    assert refusal is not None
    assert "published endpoint software" in refusal.message
    assert "afield endpoint start" in refusal.message
    stranger = decide(Action.RUN_ON_ENDPOINT, PEOPLE["x"], OLD, TIES)
    assert stranger is not None
    assert "is shared with you" not in stranger.message


@pytest.mark.parametrize(
    ("action", "record"),
    [
        (Action.MANAGE_TEAM, TEAM),
        (Action.CHANGE_POLICY, POLICY),
        (Action.USE_CLIENT, CLIENT),
        (Action.MANAGE_ACCOUNT, ACCOUNT),
    ],
)
def test_an_operators_program_changes_nothing_of_others(action, record):
    program = replace(PEOPLE["p"], is_program=True)
    refusal = decide(action, program, record, TIES)
    assert refusal is not None
    assert (refusal.status, refusal.code) == (403, "LOGIN_REQUIRED")
    assert decide(action, PEOPLE["p"], record, TIES) is None


def test_an_operators_program_looks_and_changes_its_own():
    program = replace(PEOPLE["p"], is_program=True)
    for action, record in ((Action.SEE_TEAM, TEAM), (Action.SEE_POLICY, POLICY), (Action.USE_ACCOUNT, ACCOUNT)):
        assert decide(action, program, record, TIES) is None
    mine = MemberRecord("team", "operator", MemberRole.MANAGER, 0.0)
    assert decide(Action.MANAGE_TEAM, program, TEAM, (*TIES, mine)) is None
    own = PolicyRecord("p", "operator", "own", 0.0)
    assert decide(Action.CHANGE_POLICY, program, own, TIES) is None


def test_the_expectations_cover_every_action():
    assert {action for action, *_ in EXPECTED} == set(Action) == set(TABLE)


def test_nobody_gets_anything_from_what_they_have_no_tie_to():
    records = (function(), endpoint(), TASK, GROUP, TEAM, TOKEN, CLIENT, ACCOUNT)
    for action, record in itertools.product(set(Action) - {Action.SEE_POLICY}, records):
        assert decide(action, PEOPLE["x"], record, TIES) is not None
        assert decide(action, PEOPLE["x"], record) is not None
    assert all(roles <= set(Role) for roles in TABLE.values())
