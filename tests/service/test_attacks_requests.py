"""What hostile clients try by HTTP, beside the authorization server."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from afield.service.api.ask import Ask
from afield.service.api.edge import Edge
from afield.service.domain.caller import Caller
from afield.service.domain.proxies import Proxies
from afield.service.settings import Limits
from afield.service.store.base import NotText

from .conftest import ADA, World, identity, registration

pytestmark = pytest.mark.anyio

FRONT = Proxies(["10.0.0.1"])


@pytest.mark.parametrize(
    ("peer", "said", "address"),
    [
        ("192.0.2.7", [b"198.51.100.1"], "192.0.2.7"),  # it is no front of ours
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", [b"198.51.100.1, 192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", [b"198.51.100.1", b"192.0.2.7"], "192.0.2.7"),  # a front that writes a line of its own
        ("10.0.0.1", [b"x" * 500], "x" * 64),
    ],
)
async def test_where_a_request_comes_from_is_what_the_nearest_front_says(world: World, peer, said, address):
    scope = {
        "method": "GET",
        "path": "/",
        "headers": [(b"x-forwarded-for", each) for each in said],
        "client": (peer, 1),
    }
    assert Ask(scope, world.stop, world.uses).address(FRONT) == address


@pytest.mark.parametrize("what", ["display_name", "subscription_uuid"])
async def test_what_no_database_keeps_is_refused_and_no_mistake_of_ours(world: World, what):
    with pytest.raises(NotText, match="NUL"):
        await world.uses.register_endpoint.new(ADA, registration(**{what: "a\0b"}))


class TestRate:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(requests_per_s=0.01, requests_burst=3)

    async def test_somebody_with_many_identities_asks_no_more_often(self, world: World):
        several = [replace(identity(f"ada{each}", 3 + each), person_id="one person") for each in range(4)]

        class Each:
            async def authenticate(self, authorization: str | None) -> Caller:
                return Caller(several[int(authorization or 0)])

        edge, statuses = Edge(world.uses, Each()), []

        async def send(message):
            statuses.append(message.get("status"))

        for number in range(4):
            headers = [(b"authorization", b"%d" % number)]
            scope = {"type": "http", "method": "GET", "path": "/v2/endpoints", "query_string": b"", "headers": headers}
            await edge(scope, world.stop, send)
        assert [one for one in statuses if one] == [200, 200, 200, 429]
