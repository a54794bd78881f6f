"""Which of RabbitMQ's refusals are answers, and which only mean that it is not well just now.

The service's own login may everything. So when RabbitMQ, on its way down or up, says that a queue is stopped, or that
the login is unknown to it, that is no answer about the queue or the login. To take it for one would be worse than to
wait: a queue that is down counted as gone would be filled once more, and its tasks run twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pika.exceptions import AMQPError

from afield.errors import BrokerRefused, BrokerUnreachable

__all__ = ["answers_only"]

#: No such queue or exchange; somebody else has it to himself; declared otherwise. RabbitMQ words a queue that is down
#: as 404, too: "home node … of durable queue … is down or inaccessible", "… process is stopped by supervisor".
_ANSWER: Final = re.compile(
    r"NOT_FOUND - no (queue|exchange|binding)|RESOURCE_LOCKED|PRECONDITION_FAILED|in exclusive use|NOT_IMPLEMENTED"
)


@contextmanager
def answers_only() -> Iterator[None]:
    """Let refusals through that are answers.

    :raises BrokerUnreachable: for others, and for what pika raises on a connection that goes away under it
    """
    try:
        yield
    except BrokerRefused as error:
        if _ANSWER.search(str(error)):
            raise
        raise BrokerUnreachable(f"the broker is not well: {error}") from error
    except AMQPError as error:
        raise BrokerUnreachable(f"the connection to the broker went away: {error!r}") from error
