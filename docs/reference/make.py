"""Writes the reference of the public names from their docstrings: ``python docs/reference/make.py``.

A test compares what this makes with the page that is there.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import afield
import afield.errors
import afield.serialize

__all__ = ["PAGE", "text"]

PAGE: Final = Path(__file__).with_name("api.md")

#: What is on the page, in this order; of classes, with their public methods.
_CLASSES: Final = (
    "Executor",
    "ComputeFuture",
    "Client",
    "Batch",
    "ComputeSerializer",
    "ShellFunction",
    "MPIFunction",
    "ShellResult",
    "UserRuntime",
)
_FUNCTIONS: Final = ("progress",)

_HEAD: Final = """\
# The public names

Made from the docstrings by `python docs/reference/make.py`; `help(afield.Executor)` shows the same.
[Errors](errors.md) have a page of their own.
"""

_FIELD: Final = re.compile(r"^:(param|return|returns|raises)\s*([^:]*):\s*(.*)")
_ROLE: Final = re.compile(r":\w+:`~?([^`<]*?)(?:\s*<[^`]*>)?`")


def text() -> str:
    """The whole page."""
    parts = [_HEAD]
    for name in _CLASSES:
        parts += _class(name, getattr(afield, name))
    for name in _FUNCTIONS:
        parts += ["## " + name, *_described(name, getattr(afield, name))]
    states = ", ".join(f"`{state}`" for state in afield.TaskState)
    parts += ["## TaskState", _prose(inspect.getdoc(afield.TaskState) or ""), f"In order: {states}."]
    parts += [
        "## Strategies",
        "In `afield.serialize`; which to take is said in [serialization](../howto/user/serialization.md).",
    ]
    parts += ["\n".join(_strategies())]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _class(name: str, found: type) -> Iterator[str]:
    yield f"## {name}"
    yield from _described(name, found)
    for attribute, member in _members(found):
        if isinstance(member, property):
            yield f"### {name}.{attribute}"
            yield _prose(inspect.getdoc(member) or "")
        else:
            yield f"### {name}.{attribute}()"
            yield from _described(attribute, getattr(found, attribute))


def _members(found: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties, in the order of their definition; those of ours that it inherits too."""
    seen: dict[str, Any] = {}
    for kind in found.__mro__:
        if kind.__module__.startswith("afield"):
            for name, member in vars(kind).items():
                if not name.startswith("_") and (inspect.isroutine(member) or isinstance(member, property)):
                    seen.setdefault(name, member)
    for name, member in sorted(seen.items()):
        if inspect.getdoc(member):
            yield name, member


def _described(name: str, found: Callable[..., Any]) -> Iterator[str]:
    yield f"```text\n{_signature(name, found)}\n```"
    yield _prose(inspect.getdoc(found) or "")


def _signature(name: str, found: Callable[..., Any]) -> str:
    signature = inspect.signature(found)
    parameters = [
        str(each.replace(annotation=each.empty)) for each in signature.parameters.values() if each.name != "self"
    ]
    kinds = [each.kind for each in signature.parameters.values() if each.name != "self"]
    keyword = inspect.Parameter.KEYWORD_ONLY
    if keyword in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        parameters.insert(kinds.index(keyword), "*")
    line = f"{name}({', '.join(parameters)})"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {each},\n" for each in parameters) + ")"


def _prose(docstring: str) -> str:
    """A docstring as Markdown: fields become a list, examples become blocks."""
    parts: list[str] = []
    for block in re.split(r"\n\n+(?!    )", docstring):
        before, example, code = block.partition("::\n\n")
        parts.append("\n".join(_line(line) for line in before.split("\n")) + (":" if example and before else ""))
        if example:
            parts.append(f"```text\n{textwrap.dedent(code).strip()}\n```")
    return "\n\n".join(_plain(part) if not part.startswith("```") else part for part in parts if part.strip())


def _line(line: str) -> str:
    field = _FIELD.match(line)
    return _field(*field.groups()) if field else line if not line.startswith("    ") else "  " + line.strip()


def _field(kind: str, name: str, said: str) -> str:
    match kind:
        case "param":
            return f"- `{name}`: {said}"
        case "raises":
            return f"- raises `{name}`: {said}"
        case _:
            return f"- returns: {said}"


def _plain(sentence: str) -> str:
    """Without the marks of reStructuredText."""
    return _ROLE.sub(r"`\1`", sentence).replace("``", "`")


def _strategies() -> Iterator[str]:
    yield "| name | what it does |"
    yield "|---|---|"
    for name in sorted(afield.serialize.__all__):
        found = getattr(afield.serialize, name)
        if inspect.isclass(found) and hasattr(found, "identifier"):
            first = (inspect.getdoc(found) or "").split("\n\n")[0].replace("\n", " ")
            yield f"| `{name}` | {_plain(first)} |"


if __name__ == "__main__":
    PAGE.write_text(text())
