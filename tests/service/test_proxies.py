"""Where a request came from, when load balancers are in between."""

from __future__ import annotations

import pytest

from afield.errors import ConfigurationError
from afield.service.domain.proxies import NOBODY, Proxies

FRONT = Proxies(["10.0.0.0/8", "192.0.2.7", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "origin"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # anybody may write that
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", ["203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", ["1.1.1.1, 203.0.113.9, 192.0.2.7", "10.9.9.9"], "203.0.113.9"),
        ("10.1.2.3", ["10.4.4.4, 10.5.5.5"], "10.4.4.4"),  # began within
        ("10.1.2.3", [""], "10.1.2.3"),
        ("10.1.2.3", ["unknown"], "unknown"),
        ("::ffff:10.1.2.3", ["203.0.113.9"], "203.0.113.9"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("192.0.2.8", ["203.0.113.9"], "192.0.2.8"),
        ("", ["203.0.113.9"], ""),
    ],
)
def test_where_it_came_from(peer, forwarded, origin):
    assert FRONT.origin(peer, forwarded) == origin


def test_without_any_nobody_is_believed():
    assert NOBODY.origin("127.0.0.1", ["203.0.113.9"]) == "127.0.0.1"


@pytest.mark.parametrize("said", ["lb.example.org", "10.0.0.1/8", "10.0.0.0/33", ""])
def test_what_is_neither_an_address_nor_a_network_is_named(said):
    with pytest.raises(ConfigurationError, match="no address and no network") as caught:
        Proxies([said])
    assert repr(said) in str(caught.value)
