"""A machine's owner hears of a person's groups only those that they asked about."""

from __future__ import annotations

import pytest

from afield.service.domain.caller import Caller
from afield.service.domain.people import IdentityRecord
from afield.service.domain.records import EndpointRecord
from afield.service.domain.user_endpoints import groups_of

TEAM, CHOIR = "0192d3a0-0000-7000-8000-0000000000cc", "0192d3a0-0000-7000-8000-0000000000dd"
ADA = Caller(IdentityRecord("a", "ada", "Ada", "ada@example.org", 0.0), teams=frozenset({TEAM, CHOIR}))


def endpoint(**metadata):
    return EndpointRecord("e", "owner", "e", 0.0, metadata=metadata)


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({}, None),
        ({"afield_groups": []}, None),
        ({"afield_groups": "everything"}, None),
        ({"afield_groups": [TEAM.upper()]}, [TEAM]),
        ({"afield_groups": [3, None, TEAM]}, [TEAM]),
        ({"afield_groups": ["0192d3a0-0000-7000-8000-0000000000ee"]}, []),
    ],
)
def test_no_others_are_told(metadata, told):
    assert groups_of(endpoint(**metadata), ADA) == told
