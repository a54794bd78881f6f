"""Whether something failed because what it needs is away just now: the broker or the database, elsewhere and restarted,
failed over, or out of reach. Such a thing is tried again; anything else is a mistake of ours, or of whoever set it up.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from afield.errors import BrokerError, DataDirectoryError

__all__ = ["is_outage"]

#: What PostgreSQL says of itself and not of the question (PostgreSQL documentation, appendix A): connection exceptions,
#: insufficient resources, going down or coming up, errors of its system; a server that has become a standby; two
#: transactions in each other's way.
_STATES: Final = ("08", "53", "57P", "58", "25006", "40001", "40P01")


def is_outage(error: BaseException) -> bool:
    """Whether trying again may help, without anybody's changing anything here.

    The service's own login may everything at the broker; so what that refuses it is about the broker's state, too.
    """
    if isinstance(error, (BrokerError, DataDirectoryError, OSError)):
        return True
    if getattr(error, "connection_invalidated", False):  # of SQLAlchemy's errors: the connection is gone
        return True
    state = getattr(getattr(error, "orig", None) or error, "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(_STATES)
    return isinstance(error, _of_drivers())


def _of_drivers() -> tuple[type[BaseException], ...]:
    """What database drivers raise without a state: nobody was connected any more, or no connection came free."""
    from sqlalchemy import exc

    found: list[type[BaseException]] = [exc.InterfaceError, exc.TimeoutError]
    with suppress(ImportError):
        from asyncpg.exceptions import InterfaceError

        found.append(InterfaceError)
    return tuple(found)
