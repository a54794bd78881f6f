"""PURE: permissions of ours in RabbitMQ's words, in both of its languages.

Theory. RabbitMQ knows three rights on names of queues and exchanges (configure, write, read), and, on topic exchanges
alone, a further one on routing keys. Users that it keeps itself have them as regular expressions; tokens have them as
*scopes*, ``right:vhost/name/key`` with ``*`` as a wildcard, where everything between the slashes is percent-encoded.

So which routing keys somebody may write is enforced on topic exchanges only. That is where endpoints write; to direct
exchanges the service alone does. Whether a name exists (a passive declare) RabbitMQ tells everybody who is let in; the
names are ids that nobody can guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from afield.broker.base import Permissions

__all__ = ["Rights", "rights", "scopes"]

#: Publishing to the default exchange is a right on this name.
_DEFAULT_EXCHANGE = "amq.default"


@dataclass(frozen=True, slots=True)
class Rights:
    """What a user may, as regular expressions.

    :param topics: exchange -> which routing keys may be written there
    """

    configure: str
    write: str
    read: str
    topics: dict[str, str]


def rights(permissions: Permissions) -> Rights:
    """For a user that RabbitMQ keeps itself."""
    topics: dict[str, list[str]] = {}
    for exchange, key in permissions.publish:
        if exchange:
            topics.setdefault(exchange, []).append(key)
    return Rights(
        configure=_any_of(()),
        write=_any_of(exchange or _DEFAULT_EXCHANGE for exchange, _ in permissions.publish),
        read=_any_of(permissions.consume),
        topics={exchange: _any_of(keys) for exchange, keys in topics.items()},
    )


def scopes(permissions: Permissions, resource: str, vhost: str) -> list[str]:
    """For a token.

    :param resource: the id by which RabbitMQ knows itself (``auth_oauth2.resource_server_id``)
    :param vhost: the virtual host, ``/`` by default
    """
    where = f"{resource}.%s:{_encoded(vhost)}"
    return [
        *(f"{where % 'read'}/{_encoded(queue)}" for queue in permissions.consume),
        *(
            f"{where % 'write'}/{_encoded(exchange or _DEFAULT_EXCHANGE)}/{_encoded(key)}"
            for exchange, key in permissions.publish
        ),
    ]


def _any_of(patterns: Iterable[str]) -> str:
    names = [_escaped(one) for one in dict.fromkeys(patterns)]
    # An empty expression would let no name through as well, but RabbitMQ takes it for "all" in topic permissions.
    return f"^({'|'.join(names)})$" if names else "^$"


def _escaped(pattern: str) -> str:
    return re.escape(pattern[:-1]) + ".*" if pattern.endswith("*") else re.escape(pattern)


def _encoded(pattern: str) -> str:
    return quote(pattern[:-1], safe="") + "*" if pattern.endswith("*") else quote(pattern, safe="")
