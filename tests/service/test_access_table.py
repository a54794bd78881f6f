"""The one table: every action, towards every kind of record, for everybody."""

from __future__ import annotations

import itertools

import pytest

from afield.service.domain.access import TABLE, Action, Role, decide
from afield.service.domain.caller import Caller
from afield.service.domain.people import IdentityRecord
from afield.service.domain.records import EndpointRecord, FunctionRecord, TaskGroupRecord, TaskView
from afield.states import TaskState


def person(name: str) -> IdentityRecord:
    return IdentityRecord(name, name, name, f"{name}@example.org", 0.0)


OWNER, ADMIN, OTHER = (Caller(person(name)) for name in ("owner", "admin", "other"))
LINKED = Caller(person("other"), linked=(person("owner"),))


def function(*, public: bool = False) -> FunctionRecord:
    return FunctionRecord("f", "owner", "f", b"", 0.0, public=public)


def endpoint(*, public: bool = False, multi_user: bool = False) -> EndpointRecord:
    return EndpointRecord("e", "owner", "e", 0.0, public=public, multi_user=multi_user, admins=["admin"])


TASK = TaskView("t", "g", "owner", "e", "u", "f", TaskState.RECEIVED, 0.0)
GROUP = TaskGroupRecord("g", "owner", 0.0)

F, E = "FUNCTION_ACCESS_FORBIDDEN", "ENDPOINT_ACCESS_FORBIDDEN"

#: (action, record) -> who may, of owner (o), admin (a), other (x); and what the others are told.
EXPECTED = [
    (Action.READ_FUNCTION, function(), "o", F),
    (Action.READ_FUNCTION, function(public=True), "oax", F),
    (Action.RUN_FUNCTION, function(), "o", F),
    (Action.RUN_FUNCTION, function(public=True), "oax", F),
    (Action.DELETE_FUNCTION, function(), "o", F),
    (Action.DELETE_FUNCTION, function(public=True), "o", F),
    (Action.SEE_ENDPOINT, endpoint(), "oa", E),
    (Action.SEE_ENDPOINT, endpoint(public=True), "oax", E),
    (Action.SEE_ENDPOINT, endpoint(multi_user=True), "oax", E),
    (Action.RUN_ON_ENDPOINT, endpoint(), "o", E),
    (Action.RUN_ON_ENDPOINT, endpoint(public=True), "o", E),
    (Action.RUN_ON_ENDPOINT, endpoint(multi_user=True), "oax", E),
    (Action.REGISTER_ENDPOINT, endpoint(public=True, multi_user=True), "o", E),
    (Action.LOCK_ENDPOINT, endpoint(public=True, multi_user=True), "oa", E),
    (Action.DELETE_ENDPOINT, endpoint(public=True, multi_user=True), "oa", E),
    (Action.READ_TASK, TASK, "o", "TASK_NOT_FOUND"),
    (Action.CANCEL_TASK, TASK, "o", "TASK_NOT_FOUND"),
    (Action.USE_GROUP, GROUP, "o", "TASK_GROUP_ACCESS_FORBIDDEN"),
]


@pytest.mark.parametrize(("action", "record", "may", "code"), EXPECTED)
def test_who_may(action, record, may, code):
    for letter, caller in (("o", OWNER), ("a", ADMIN), ("x", OTHER), ("o", LINKED)):
        refusal = decide(action, caller, record)
        if letter in may:
            assert refusal is None, (letter, caller)
        else:
            assert refusal is not None, (letter, caller)
            assert refusal.code == code
            assert refusal.status == (404 if code == "TASK_NOT_FOUND" else 403)
            assert record.id in refusal.message


def test_the_expectations_cover_every_action():
    assert {action for action, *_ in EXPECTED} == set(Action) == set(TABLE)


def test_only_owners_and_admins_get_anything_from_a_record_that_is_neither_public_nor_mapped():
    for action, record in itertools.product(Action, (function(), endpoint(), TASK, GROUP)):
        assert decide(action, OTHER, record) is not None
    assert all(roles <= set(Role) for roles in TABLE.values())
