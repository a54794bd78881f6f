"""What a task raised, in words.

The frames of Afield are left out: a person who wrote a function wants to see their function. Of functions that came by
value the lines of source are not here; file, line and name are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from traceback import TracebackException
from typing import Final

from afield.serialize.exceptions import is_own_frame

__all__ = ["one_line", "traceback_text"]

#: The longest traceback and the longest line in characters: an exception may hold any amount of text.
_MAX_TEXT: Final = 256 * 1024
_MAX_LINE: Final = 500

_LEFT_BEHIND: Final = (
    "(A function travels without the other names of its program: what it uses of its imports, functions, classes and "
    "variables. Import or define that inside the function, or pass it as an argument.)"
)


def traceback_text(error: BaseException) -> str:
    """As Python would print it, with causes, without the frames of Afield. Never raises."""
    try:
        made = TracebackException.from_exception(error)
        for part in _with_causes(made):
            _leave_out_own_frames(part)
        if _misses_the_script(error):
            made.__notes__ = [*(made.__notes__ or ()), _LEFT_BEHIND]
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
    first = text.strip().partition("\n")[0]
    return f"{name}: {first}"[:_MAX_LINE] if first else name


def _misses_the_script(error: BaseException) -> bool:
    """Whether a function that came by value looked for a name that stayed where it came from."""
    traceback = error.__traceback__
    if type(error) is not NameError or traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_globals.get("__name__") == "__main__"


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
