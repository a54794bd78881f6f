"""What ``Client`` asks about people: what is wrong is told before anything is sent."""

from __future__ import annotations

import pytest

from afield.errors import InvalidId
from afield.wire.rest_people import Grant, GrantList

ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
GROUP = "0192d3a0-0000-7000-8000-00000000000a"
SOMEBODY = "0192d3a0-0000-7000-8000-00000000000b"

WRONG = [
    (ValueError, "one of username", lambda c: c.share_endpoint(ENDPOINT)),
    (ValueError, "one of username", lambda c: c.share_endpoint(ENDPOINT, "bob", group_id=GROUP)),
    (ValueError, "role should be one of view, run, manage", lambda c: c.share_endpoint(ENDPOINT, "bob", role="god")),
    (InvalidId, "endpoint", lambda c: c.share_endpoint("mine", "bob")),
    (InvalidId, "group", lambda c: c.share_endpoint(ENDPOINT, group_id="lab")),
    (TypeError, "username", lambda c: c.share_endpoint(ENDPOINT, 7)),
    (ValueError, "one of username", lambda c: c.unshare_endpoint(ENDPOINT)),
    (InvalidId, "identity", lambda c: c.unshare_endpoint(ENDPOINT, identity_id="bob")),
    (InvalidId, "endpoint", lambda c: c.list_grants("mine")),
    (ValueError, "name should be", lambda c: c.create_group(" ")),
    (ValueError, "name", lambda c: c.create_group("x" * 201)),
    (TypeError, "description", lambda c: c.create_group("lab", 7)),
    (InvalidId, "group", lambda c: c.get_group("lab")),
    (ValueError, "name should be", lambda c: c.update_group(GROUP, name="")),
    (ValueError, "role should be", lambda c: c.invite_to_group(GROUP, role="king")),
    (ValueError, "lifetime_s", lambda c: c.invite_to_group(GROUP, lifetime_s=1)),
    (ValueError, "lifetime_s", lambda c: c.invite_to_group(GROUP, lifetime_s=1e9)),
    (TypeError, "invitation", lambda c: c.join_group(None)),
    (ValueError, "role should be", lambda c: c.set_group_role(GROUP, SOMEBODY, "king")),
    (InvalidId, "identity", lambda c: c.remove_from_group(GROUP, "bob")),
    (ValueError, "name should be", lambda c: c.create_policy("")),
    (ValueError, "session_s", lambda c: c.create_policy("p", session_s=0)),
    (TypeError, "mfa_required", lambda c: c.create_policy("p", mfa_required="yes")),
    (TypeError, "include_domains", lambda c: c.create_policy("p", include_domains=[7])),
    (InvalidId, "policy", lambda c: c.delete_policy("p")),
]


@pytest.mark.parametrize(("kind", "named", "call"), WRONG)
def test_what_is_wrong_is_told_before_anything_is_sent(client, service, kind, named, call):
    with pytest.raises(kind, match=named):
        call(client)
    assert service.requests == []


def test_who_is_not_there_cannot_be_unshared_by_name(client, service):
    place = f"/afield/v1/endpoints/{ENDPOINT}/grants"
    grants = [Grant("group", GROUP, "bob", "run", 1.0), Grant("identity", SOMEBODY, "Eve", "run", 1.0)]
    service.people["GET", place] = lambda _: GrantList(ENDPOINT, grants)
    removed = []
    service.people["DELETE", f"{place}/identity/{SOMEBODY}"] = lambda _: removed.append(SOMEBODY) or {"deleted": 1}
    with pytest.raises(ValueError, match="not shared with anybody called bob"):
        client.unshare_endpoint(ENDPOINT, "bob")
    client.unshare_endpoint(ENDPOINT, "eve")
    assert removed == [SOMEBODY]
    assert [one["name"] for one in client.list_grants(ENDPOINT)] == ["bob", "Eve"]
