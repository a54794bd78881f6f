"""What a task raised, in words.

The frames of Afield are left out: a person who wrote a function wants to see their function. Of functions that came by
value the lines of source are not here; file, line and name are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from traceback import TracebackException
from typing import Final

from afield.errors import SerdeError
from afield.serialize.exceptions import is_own_frame
from afield.serialize.pickles import LEFT_BEHIND

__all__ = ["kinds_of", "one_line", "traceback_text"]

#: The longest traceback and the longest line in characters: an exception may hold any amount of text.
_MAX_TEXT: Final = 256 * 1024
_MAX_LINE: Final = 500
#: The longest name of a class, and the most classes that are named.
_MAX_NAME: Final = 300
_MAX_KINDS: Final = 50

_UNKNOWN: Final = (
    "(A function travels without the other names of its program: those come along that it mentions and that were there "
    "when it was first submitted; with one that came as source, none. Import or define {name} inside the function, or "
    "pass it as an argument.)"
)
_STAYED: Final = (
    "({name} stayed behind, where the function was submitted, because it cannot travel: {reason}. Make it inside the "
    "function, or pass what is needed of it as an argument.)"
)


def traceback_text(error: BaseException) -> str:
    """As Python would print it, with causes, without the frames of Afield. Never raises."""
    try:
        made = TracebackException.from_exception(error)
        for part in _with_causes(made):
            _leave_out_own_frames(part)
        notes = [*_missing_names(error), *_missing_modules(error)]
        if notes:
            made.__notes__ = [*(made.__notes__ or ()), *notes]
        text = "".join(made.format())
    except Exception:  # noqa: BLE001 - classes of users: what they are printed by may raise anything
        return one_line(error)
    if len(text) <= _MAX_TEXT:
        return text
    half = _MAX_TEXT // 2
    return f"{text[:half]}\n… {len(text) - _MAX_TEXT} characters are left out here …\n{text[-half:]}"


def one_line(error: BaseException) -> str:
    """``Type: message``, in one line of bounded length. Never raises."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - see above
        text = "its message could not be made"
    name = type(error).__qualname__
    if isinstance(error, ModuleNotFoundError):
        # This is what people see first, and often all that they see.
        text = " ".join([text.strip().partition("\n")[0], *_missing_modules(error)])
    first = text.strip().partition("\n")[0]
    return f"{name}: {first}"[:_MAX_LINE] if first else name


def kinds_of(error: BaseException) -> tuple[str, ...]:
    """The classes of an exception as ``module.qualified name``, its own first, without what all of them have.

    Never raises. Whoever says after which exceptions a task runs again names one of these.
    """
    # Asked of ``type`` itself: a class of the user's may answer for itself, and wrongly.
    classes = type.__dict__["__mro__"].__get__(type(error))
    found = (_full_name(kind) for kind in classes if kind is not object and kind is not BaseException)
    return tuple(name for name, _ in zip(found, range(_MAX_KINDS), strict=False))


def _full_name(kind: type) -> str:
    module = type.__dict__["__dict__"].__get__(kind).get("__module__", "builtins")
    if not isinstance(module, str):  # a heap type's own is a text; somebody has written over it
        module = "?"
    name: str = type.__dict__["__qualname__"].__get__(kind)
    return f"{module}.{name}"[:_MAX_NAME].encode(errors="backslashreplace").decode()


def _missing_modules(error: BaseException) -> Iterator[str]:
    """What is to be said about modules that are not here: of this exception, and of those that caused it."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, ModuleNotFoundError) and isinstance(cause.name, str) and not isinstance(error, SerdeError):
            yield (
                f"(The module {cause.name!r} is not installed in the Python that ran this task: {sys.executable}, "
                f"version {sys.version.split()[0]}. Install it there; or, if it is your own, define in your script "
                "what the task uses, so that it travels along.)"
            )
            return
        cause = cause.__cause__


def _missing_names(error: BaseException) -> Iterator[str]:
    """What is to be said about a name that a function which came by value did not find here."""
    traceback = error.__traceback__
    if type(error) is not NameError or traceback is None:
        return
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    names = traceback.tb_frame.f_globals
    if names.get("__name__") != "__main__":
        return
    if reason := names.get(f"{LEFT_BEHIND}{error.name}"):
        yield _STAYED.format(name=error.name, reason=reason)
    else:
        yield _UNKNOWN.format(name=error.name)


def _with_causes(made: TracebackException) -> Iterator[TracebackException]:
    waiting = [made]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += [other for other in (part.__cause__, part.__context__) if other is not None]
        waiting += part.exceptions or ()


def _leave_out_own_frames(part: TracebackException) -> None:
    if part.stack is not None:
        part.stack[:] = [frame for frame in part.stack if not is_own_frame(frame.filename)]
        if all(frame.filename.startswith(_machinery()) for frame in part.stack):
            part.stack = None  # type: ignore[assignment] # then it prints no heading either


def _machinery() -> tuple[str, ...]:
    # A stack of nothing but these says how pickling works, not what is wrong with what was to be pickled.
    modules = (sys.modules.get(name) for name in ("dill", "pickle", "json", "copyreg", "inspect"))
    files = (getattr(module, "__file__", None) for module in modules)
    return tuple(file.removesuffix("__init__.py") for file in files if file)
