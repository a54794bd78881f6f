"""The exception that a task raised, brought to whoever waits for it.

Theory. What a person catches around ``future.result()`` should be what they would catch around a local call, and it
should also say that it came from elsewhere. So the exception travels beside the text of its traceback, and comes out as
an instance of two classes: its own, and :class:`~afield.errors.TaskExecutionFailed`. Three rules:

1. The text always arrives; the object arrives where it can. Nothing here raises, whatever classes people write.
2. No constructor of theirs runs on the way. Exceptions with odd constructors are common, and what pickle does with them
   (calling the class with ``args``) fails or invents messages. An object is made by ``__new__`` of the built-in class
   under it and gets back its ``args`` and attributes. A class that defines its own pickling has its way.
3. A class of the running script is looked up in the script that waits, so that its ``except`` clauses match. Where
   there is none, the class that came along is used: it still is whatever it inherited from.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise
from types import FunctionType, TracebackType
from typing import Any, ClassVar, Final, TypeAlias

from afield.errors import (
    EndpointLost,
    MaxResultSizeExceeded,
    NoWorkers,
    TaskCancelled,
    TaskExecutionFailed,
    TaskTimeout,
    WorkerLost,
)
from afield.serialize.pickles import dumps, loads

__all__ = ["EXCEPTION_LIMIT", "is_own_frame", "pack_exception", "rebuild"]

#: The longest packed exception in bytes. It is a convenience beside the text, so it should not weigh more than results.
EXCEPTION_LIMIT: Final = 256 * 1024

_MAX_FRAMES: Final = 50  # the innermost; the text has them all
_MAX_CAUSES: Final = 8
_HEAP_TYPE: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement, not in C

_Frame: TypeAlias = tuple[str, str, int]  # file, function, line

_PACKAGE: Final = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120 - pathlib takes 5 ms to import
_OWN: Final = tuple(os.path.join(_PACKAGE, part, "") for part in ("worker", "serialize", "wire"))  # noqa: PTH118

#: error codes that have a class of their own
_CLASSES: Final[dict[str | None, type[TaskExecutionFailed]]] = {
    kind.__name__: kind for kind in (NoWorkers, WorkerLost, EndpointLost, TaskTimeout, MaxResultSizeExceeded)
}


def is_own_frame(file: str) -> bool:
    """Whether code of ``file`` is what Afield runs around a task: nothing that a person wants to see in a traceback."""
    return file.startswith(_OWN)


def pack_exception(error: BaseException) -> bytes | None:
    """``error`` with its traceback as bytes, or None where that cannot be or would be more than 256 kB.

    Of attributes and arguments that cannot be pickled the first stay behind and the others become text.
    """
    made = _packed([(one, _frames(one.__traceback__)) for one in _with_causes(error)])
    return made if made is not None and len(made) <= EXCEPTION_LIMIT else None


def rebuild(
    remote_data: str, completion_t: str, exception: bytes | None, error_code: str | None
) -> TaskExecutionFailed | TaskCancelled:
    """The exception of a task that ended without a value.

    :param remote_data: the remote traceback, or what the endpoint said
    :param completion_t: unix time of the end in seconds, as text
    :param exception: what :func:`pack_exception` made, if it came
    :param error_code: the published error code, if there is one
    :returns: where it can be, also an instance of the class of the original, with its arguments and attributes; then
        the original with its remote traceback is its ``__cause__``. Never raises
    """
    if error_code == TaskCancelled.__name__:
        return TaskCancelled(remote_data.strip("\n"))
    plain = _CLASSES.get(error_code, TaskExecutionFailed)(remote_data, completion_t)
    if exception is None or type(plain) is not TaskExecutionFailed:
        return plain
    try:
        (original, *_) = causes = loads(exception)
        _chain(causes)
        joined = _join(original[0], remote_data, completion_t)
        joined.__cause__ = original[0]
    except (Exception, SystemExit):  # noqa: BLE001 - classes of users again; the text is what must arrive
        return plain
    return joined


# ---- on the side of the worker -------------------------------------------------------------------------------------


class _Writer(pickle.Pickler):
    """Pickles exceptions by their parts, and classes that the reader may not have along with them."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, BaseException) and not _pickles_itself(type(obj)):
            return _revive, self._parts(obj)
        if isinstance(obj, type) and (obj.__module__ == "__main__" or "<locals>" in obj.__qualname__):
            return _class_of_script, (obj.__qualname__, dumps(obj))
        return NotImplemented

    def _parts(self, error: BaseException) -> tuple[type, tuple[Any, ...], dict[str, Any]]:
        return _parts(error)


class _Stripper(_Writer):
    """Leaves behind what cannot be pickled, and trusts nobody's own pickling."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, BaseException):
            return _revive, self._parts(obj)
        return super().reducer_override(obj)

    def _parts(self, error: BaseException) -> tuple[type, tuple[Any, ...], dict[str, Any]]:
        kind, args, state = _parts(error)
        kept = {name: value for name, value in state.items() if _can_be_pickled(value)}
        if left := sorted(state.keys() - kept.keys()):
            note = f"left behind, because they cannot be pickled: {', '.join(left)}"
            kept["__notes__"] = [*kept.get("__notes__", ()), note]
        return kind, tuple(arg if _can_be_pickled(arg) else repr(arg) for arg in args), kept


def _packed(value: Any) -> bytes | None:
    for writer in (_Writer, _Stripper):
        body = io.BytesIO()
        try:
            writer(body).dump(value)
            # What pickles itself may not come back. Better to know it while there is another way.
            loads(body.getvalue())
        except Exception:  # noqa: BLE001, S112 - exceptions are classes of users; their methods raise what they like
            continue
        return body.getvalue()
    return None


def _pickles_itself(kind: type[BaseException]) -> bool:
    # Built-in classes do as well, but in a way that calls the constructor.
    custom = (kind.__reduce_ex__, kind.__reduce__, getattr(kind, "__getnewargs_ex__", None), kind.__setstate__)
    return any(isinstance(method, FunctionType) for method in custom)


def _parts(error: BaseException) -> tuple[type, tuple[Any, ...], dict[str, Any]]:
    kind = type(error)
    # By the built-in class: it knows the fields that are neither arguments nor attributes, such as a file's name.
    _, args, *state = _built_in_under(kind).__reduce__(error)
    if issubclass(kind, _Remote):
        kind = kind.original
    return kind, args, dict(state[0] or {}) if state else {}


def _can_be_pickled(value: Any) -> bool:
    try:
        body = io.BytesIO()
        _Writer(body).dump(value)
        loads(body.getvalue())
    except Exception:  # noqa: BLE001 - whatever it raises, the answer is no
        return False
    return True


def _with_causes(error: BaseException) -> list[BaseException]:
    found = [error]
    while (cause := found[-1].__cause__) is not None and len(found) < _MAX_CAUSES:  # somebody may have made a ring
        found.append(cause)
    return found


def _frames(traceback: TracebackType | None) -> list[_Frame]:
    found: list[_Frame] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if found or not is_own_frame(code.co_filename):
            found.append((code.co_filename, code.co_name, traceback.tb_lineno))
        traceback = traceback.tb_next
    return found[-_MAX_FRAMES:]


# ---- on the side of whoever waits; these names are in the pickles ----------------------------------------------------


def _revive(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    built_in = _built_in_under(kind)
    error: BaseException = built_in.__new__(kind, *args)
    # Some built-in classes fill their fields here. It is not the constructor of ``kind``.
    # Arguments that do not fit it are no reason to fail: then the object keeps what __new__ gave it.
    with suppress(Exception):
        built_in.__init__(error, *args)
    for name, value in state.items():
        if hasattr(built_in, name):  # a field, such as the name of the module in ImportError
            object.__setattr__(error, name, value)
        else:
            error.__dict__[name] = value
    return error


def _class_of_script(name: str, pickled: bytes) -> type:
    found: Any = sys.modules["__main__"]
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else loads(pickled)


def _built_in_under(kind: type[BaseException]) -> Any:
    return next(base for base in kind.__mro__ if not base.__flags__ & _HEAP_TYPE)


def _chain(causes: list[tuple[BaseException, list[_Frame]]]) -> None:
    for error, frames in causes:
        error.__traceback__ = _traceback(frames)
    for (error, _), (cause, _) in pairwise(causes):
        error.__cause__ = cause


def _traceback(frames: list[_Frame]) -> TracebackType | None:
    if not frames:
        return None
    from tblib import Traceback

    node: dict[str, Any] | None = None
    for file, function, line in reversed(frames):
        frame = {
            "f_code": {"co_filename": file, "co_name": function},
            "f_globals": {"__file__": file, "__name__": "?"},
            "f_lineno": line,
        }
        node = {"tb_frame": frame, "tb_lineno": line, "tb_next": node}
    made: TracebackType | None = Traceback.from_dict(node).as_traceback()  # type: ignore[no-untyped-call]
    return made


def _join(original: BaseException, remote_data: str, completion_t: str) -> TaskExecutionFailed:
    kind, args, state = _parts(original)
    if not _may_be_joined(kind):
        return TaskExecutionFailed(remote_data, completion_t)
    made = _revive(_joined_class(kind), args, state)
    assert isinstance(made, TaskExecutionFailed)
    made.remote_data, made.completion_t = remote_data, completion_t
    return made


def _may_be_joined(kind: type[BaseException]) -> bool:
    from concurrent.futures import CancelledError

    # Not what ends programs, threads, generators or futures when it is raised where nobody expects it. And not what
    # happened to another task: WorkerLost of a task that this task waited for does not mean that this one lost its own.
    unfit = (StopIteration, StopAsyncIteration, CancelledError, TaskExecutionFailed)
    return issubclass(kind, Exception) and not issubclass(kind, unfit)


class _Remote(BaseException):
    """What a joined class has before the two that it joins. Its subclasses are made by :func:`_joined_class`."""

    original: ClassVar[type[BaseException]]
    remote_data = ""
    completion_t = "0"

    def __init_subclass__(cls, **_: Any) -> None:
        """Nothing; above all not what the class of the original does with its subclasses."""

    def __str__(self) -> str:
        try:
            message = self.original.__str__(self)
        except Exception:  # noqa: BLE001 - a message that cannot be made is no reason to lose the traceback
            message = self.original.__name__
        remote = self.remote_data.strip("\n")
        return f"{message}\n\nWhere it ran:\n{remote}\n" if remote else message

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        made = _packed(_parts(self))
        return (_rejoin, (made,)) if made else (TaskExecutionFailed, (self.remote_data, self.completion_t))


@lru_cache(maxsize=256)
def _joined_class(original: type[BaseException]) -> type[BaseException]:
    names = {
        "original": original,
        "__doc__": original.__doc__,
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
    }
    return type(original.__name__, (_Remote, original, TaskExecutionFailed), names)


def _rejoin(pickled: bytes) -> BaseException:
    kind, args, state = loads(pickled)
    return _revive(_joined_class(kind), args, state)
