"""An example of each body, made from its type and the names of its fields, so that none is ever out of date."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import inspect

from afield.wire.rest import ErrorBody

__all__ = ["sample"]

_ID: Final = "01979b2c-6f3e-7c41-8d25-3b6a90f1e457"
_OTHER_ID: Final = "01979b2c-9a10-7f02-b7c3-51d2e8804c9a"
_PACKED: Final = "12\n01\ngASVBQ==\n12\n01\ngAR9lC4=\n"
_MOMENT: Final = 1_750_000_000.0

#: By the name of a field, where the type alone says too little. Of several fields of one name, each takes what fits.
_NAMED: Final[dict[str, tuple[Any, ...]]] = {
    "tasks": ({_ID: [_PACKED]}, {_ID: [_OTHER_ID]}, [[_ID, _OTHER_ID, _PACKED]]),
    "task_ids": ([_OTHER_ID],),
    "function_name": ("double",),
    "function_code": ("def double(x):\n    return 2 * x\n",),
    "endpoint_name": ("lab",),
    "display_name": ("The lab's machine",),
    "hostname": ("lab.example.org",),
    "local_user": ("ada",),
    "connection_url": ("amqp://somebody:secret@queues.example.org:5672/",),
    "queue_prefix": (f"{_ID}.",),
    "created_at": (_MOMENT, "2025-06-15T15:06:40+00:00"),
    "completion_t": ("1750000000.25",),
    "min_ep_version": ("2.0.0",),
    "min_endpoint_version": ("2.0.0",),
    "owner": (_ID,),
    "python_version": ("3.12.4",),
    "min_sdk_version": ("2.0.0",),
    "username": ("ada@example.org",),
    "email": ("ada@example.org",),
    "name": ("Ada",),
    "principal": ("identity",),
    "principal_id": (_OTHER_ID,),
    "label": ("night run",),
    "serde_identifier": ("01",),
    "url": ("https://compute.example.org",),
    "afield": ("0.1.0",),
    "api": ("1.0.0",),
}


def sample(kind: Any) -> Any:
    """A value of this type, as JSON has it.

    :raises TypeError: there is no example of such a type: say one above
    """
    if kind is ErrorBody:
        said = f"There is no task {_ID} here, or its retention has ended."
        return msgspec.to_builtins(ErrorBody("TASK_NOT_FOUND", 404, said, said))
    # By way of JSON, so that a tuple is a list, as there.
    return msgspec.json.decode(msgspec.json.encode(msgspec.convert(_of(inspect.type_info(kind), ""), kind)))


def _of(kind: inspect.Type, name: str) -> Any:
    found = _named(kind, name)
    if found is not None:
        return found
    match kind:
        case inspect.StructType(fields=fields):
            return {
                field.encode_name: _of(field.type, field.encode_name)
                for field in fields
                if field.required or _named(field.type, field.encode_name) is not None
            }
        case inspect.UnionType(types=types):
            return _of(next(one for one in types if not isinstance(one, inspect.NoneType)), name)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item) | inspect.SetType(item_type=item):
            return [_of(item, name.removesuffix("s"))]
        case inspect.DictType(value_type=value):
            if isinstance(value, inspect.AnyType):
                return {}
            return {"result": 302} if isinstance(value, inspect.IntType) else {_ID: _of(value, name)}
        case _:
            return _plain(kind, name)


def _plain(kind: inspect.Type, name: str) -> Any:
    match kind:
        case inspect.StrType():
            return _ID if name == "id" or name.endswith(("_id", "_uuid")) else name.replace("_", " ") or "ok"
        case inspect.IntType():
            return 1
        case inspect.FloatType():
            return 3600.0 if name.endswith("_s") else _MOMENT
        case inspect.BoolType():
            return False
        case inspect.EnumType(cls=cls):
            return next(iter(cls)).value
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.AnyType():
            return {}
        case inspect.NoneType():
            return None
        case _:
            raise TypeError(f"no example of {kind}")


def _named(kind: inspect.Type, name: str) -> Any:
    """The first example under this name that is of this type."""
    for value in _NAMED.get(name, ()):
        if _fits(value, kind):
            return value
    return None


def _fits(value: Any, kind: inspect.Type) -> bool:
    match kind:
        case inspect.UnionType(types=types):
            return any(_fits(value, one) for one in types)
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.FloatType() | inspect.IntType():
            return isinstance(value, int | float)
        case inspect.LiteralType(values=values):
            return value in values
        case inspect.ListType(item_type=item):
            return isinstance(value, list) and all(_fits(one, item) for one in value)
        case inspect.TupleType(item_types=items):
            return isinstance(value, list) and len(value) == len(items) and all(map(_fits, value, items))
        case inspect.DictType(value_type=inner):
            return isinstance(value, dict) and all(_fits(one, inner) for one in value.values())
        case _:
            return False
