"""Whose word is taken for where a request came from. PURE.

Theory. A load balancer hides who asks; it writes the address that it saw behind what ``X-Forwarded-For`` held already.
Anybody may send such a header, so it counts only as far as those wrote it who were named here: read from the end, the
first address that is none of theirs is where the request came from.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from afield.errors import ConfigurationError

__all__ = ["NOBODY", "Proxies"]

_LONGEST: Final = 64


class Proxies:
    """Load balancers.

    :param said: addresses, and networks such as ``10.0.0.0/8``
    :raises ConfigurationError: one of them is neither
    """

    def __init__(self, said: Iterable[str] = ()) -> None:
        self._networks = [_network(each) for each in said]

    def __contains__(self, address: str) -> bool:
        found = _address(address)
        return found is not None and any(found in network for network in self._networks)

    def origin(self, peer: str, forwarded: Iterable[str]) -> str:
        """Where a request came from.

        :param peer: who brought it
        :param forwarded: the values of all ``X-Forwarded-For``, in their order
        """
        found = peer
        hops = [hop.strip()[:_LONGEST] for hop in ",".join(forwarded).split(",")]
        while found in self and hops:
            found = hops.pop() or found
        return found


def _network(said: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(said.strip())
    except ValueError as error:
        raise ConfigurationError(
            f"proxies names {said!r}, which is no address and no network: {error}. Write such as 10.0.0.7 or 10.0.0.0/8"
        ) from error


def _address(said: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(said)
    except ValueError:
        return None
    # A service that listens on both sees IPv4 in IPv6's clothes.
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


NOBODY: Final = Proxies()
