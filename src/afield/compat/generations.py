"""What only scripts of older generations ask for, and what has no place elsewhere."""

from __future__ import annotations

import uuid
from typing import Any, Final

from afield.sdk.client import Client
from afield.sdk.executor import Executor

__all__ = ["UUID_LIKE_T", "FuncXExecutor", "as_optional_uuid", "as_uuid"]

UUID_LIKE_T = uuid.UUID | str

_POSITIONS: Final = ("client", "label", "batch_enabled", "batch_interval", "batch_size")


class FuncXExecutor(Executor):
    """The Executor of the first generation: it may be given a client first, and an endpoint with each call.

    :param given: as for :class:`~afield.sdk.executor.Executor`; or, if the first is a client, that, ``label``,
        ``batch_enabled``, ``batch_interval``, ``batch_size``. Batches go out as they come, whatever is said of them
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        if given and isinstance(given[0], Client):
            named |= dict(zip(_POSITIONS, given, strict=False))
            given = ()
        if "funcx_client" in named:
            named["client"] = named.pop("funcx_client")
        left_out = {"batch_enabled", "batch_interval"}
        super().__init__(*given, **{name: value for name, value in named.items() if name not in left_out})

    def submit(self, fn: Any, /, *args: Any, endpoint_id: Any = None, container_uuid: Any = None, **kwargs: Any) -> Any:
        """Have ``fn(*args, **kwargs)`` called.

        :param endpoint_id: where, from now on; None: where it was
        :param container_uuid: without effect
        """
        del container_uuid
        if endpoint_id is not None and str(endpoint_id) != str(self.endpoint_id):
            self.endpoint_id = endpoint_id
        return super().submit(fn, *args, **kwargs)


def as_uuid(uuid_like: UUID_LIKE_T) -> uuid.UUID:
    """An id as an object.

    :raises ValueError: it is none
    """
    return uuid_like if isinstance(uuid_like, uuid.UUID) else uuid.UUID(uuid_like)


def as_optional_uuid(optional_uuid_like: UUID_LIKE_T | None) -> uuid.UUID | None:
    """:func:`as_uuid`, where there is one."""
    return None if optional_uuid_like is None else as_uuid(optional_uuid_like)
