"""Where the source of a function or class is, and what running it would do.

Found by the file and line that its code names, in whatever Python would show in a traceback: files and notebooks; by
dill at a prompt.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import linecache
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import FunctionType, ModuleType
from typing import Any, Final, TypeAlias

from afield.errors import SerializationError
from afield.serialize.names import by_name, is_main

__all__ = ["TEXT_NOTES", "Found", "early_names", "find_class", "find_function"]

_Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda

#: What may be called while something is defined: it makes or marks values, and does nothing else.
_PURE: Final = frozenset(
    {
        "abc.abstractmethod",
        "builtins.classmethod",
        "builtins.property",
        "builtins.staticmethod",
        "builtins.bool",
        "builtins.bytes",
        "builtins.complex",
        "builtins.dict",
        "builtins.float",
        "builtins.frozenset",
        "builtins.int",
        "builtins.list",
        "builtins.object",
        "builtins.range",
        "builtins.set",
        "builtins.str",
        "builtins.tuple",
        "contextlib.asynccontextmanager",
        "contextlib.contextmanager",
        "dataclasses.dataclass",
        "dataclasses.field",
        "datetime.date",
        "datetime.datetime",
        "datetime.timedelta",
        "decimal.Decimal",
        "enum.auto",
        "enum.member",
        "enum.nonmember",
        "enum.unique",
        "fractions.Fraction",
        "functools.cache",
        "functools.cached_property",
        "functools.lru_cache",
        "functools.partial",
        "functools.total_ordering",
        "pathlib.Path",
        "pathlib._local.Path",
        "re.compile",
        "typing.TypeVar",
        "typing.final",
        "typing.no_type_check",
        "typing.overload",
        "typing.override",
        "typing.runtime_checkable",
    }
)
#: of what was compiled with ``from __future__ import annotations``
TEXT_NOTES: Final[int] = __future__.annotations.compiler_flag

_ACCESSORS: Final = {"setter", "getter", "deleter"}


@dataclass
class Found:
    """A definition in its source."""

    node: _Definition
    lines: list[str]
    #: the functions that it makes
    functions: list[FunctionType]
    #: how it was compiled
    flags: int

    @property
    def is_decorated(self) -> bool:
        """Whether something was done to it when it was defined."""
        return bool(getattr(self.node, "decorator_list", ()))

    def text(self, name: str) -> str:
        """Statements that define it under ``name``."""
        first, last = _first_line(self.node), self.node.end_lineno or 0
        if isinstance(self.node, ast.Lambda):
            segment = ast.get_source_segment("".join(self.lines), self.node)
            return f"{name} = ({segment})\n"
        text = "".join(self.lines[first - 1 : last])
        if not text.endswith("\n"):
            text += "\n"
        # Taking the indentation away would change texts that go over several lines.
        return f"if True:\n{text}" if self.node.col_offset else text


def find_function(function: FunctionType) -> Found:
    """Where a function is defined.

    :raises SerializationError: nobody knows, or the source is not that of this function
    """
    code = function.__code__
    lines, tree = _parsed(function)
    wanted = ast.Lambda if code.co_name == "<lambda>" else (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [
        node
        for node in ast.walk(tree)
        if isinstance(node, wanted)
        and _first_line(node) == code.co_firstlineno
        and getattr(node, "name", code.co_name) == code.co_name
    ]
    if len(nodes) > 1:
        raise SerializationError(f"line {code.co_firstlineno} of {code.co_filename} has more than one {code.co_name}")
    if not nodes:
        raise SerializationError(
            f"{code.co_name} is not in line {code.co_firstlineno} of {code.co_filename}: the file was changed since"
        )
    return Found(nodes[0], lines, [function], code.co_flags)


def find_class(kind: type) -> Found:
    """Where a class is defined.

    :raises SerializationError: as above
    """
    _refuse_what_others_do_with_classes(kind)
    functions = list(_functions_of(kind))
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    own = (each for each in functions if _is_written(each) and each.__qualname__.startswith(f"{kind.__qualname__}."))
    file = next((each.__code__.co_filename for each in own), main)
    if "<locals>" in kind.__qualname__ or not is_main(kind.__module__) or file is None:
        raise SerializationError(f"the source of the class {kind.__qualname__} cannot be found")
    lines = linecache.getlines(file)
    nodes = [node for name, node in _classes(_tree("".join(lines), file)) if name == kind.__qualname__]
    if len(nodes) != 1:
        number = "more than one definition" if nodes else "no definition"
        raise SerializationError(f"there is {number} of the class {kind.__qualname__} in {file}")
    flags = next((each.__code__.co_flags for each in functions if _is_written(each)), _flags_of_main())
    _refuse_marks(kind, flags)
    return Found(nodes[0], lines, functions, flags)


def early_names(found: Found, names: dict[str, Any]) -> list[str]:
    """The names that are looked up while it is defined.

    :raises SerializationError: its definition does more than make values
    """
    return list(dict.fromkeys(_Early(names, found.flags).definition(found.node)))


class _Early:
    """Walks what is evaluated when something is defined."""

    def __init__(self, names: dict[str, Any], flags: int) -> None:
        self._names = names
        self._notes_are_text = bool(flags & TEXT_NOTES)

    def definition(self, node: _Definition) -> Iterator[str]:
        if not isinstance(node, ast.Lambda):
            for decorator in node.decorator_list:
                yield from self._decorator(decorator)
        if isinstance(node, ast.ClassDef):
            for value in [*node.bases, *(each.value for each in node.keywords)]:
                yield from self._value(value)
            for statement in node.body:
                yield from self._in_class(node, statement)
            return
        for default in [*node.args.defaults, *(each for each in node.args.kw_defaults if each is not None)]:
            yield from self._value(default)
        if isinstance(node, ast.Lambda) or self._notes_are_text:
            return
        arguments = node.args
        plain = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        for note in [*(each.annotation for each in plain if each is not None), node.returns]:
            if note is not None:
                yield from self._value(note)

    def _in_class(self, kind: ast.ClassDef, statement: ast.stmt) -> Iterator[str]:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield from self.definition(statement)
            case ast.Assign(value=value):
                yield from self._value(value)
            case ast.AnnAssign(annotation=note, value=value):
                if value is not None:
                    yield from self._value(value)
                if not self._notes_are_text:
                    yield from self._value(note)
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                pass
            case _:
                raise SerializationError(
                    f"the body of the class {kind.name} does more than define, in line {statement.lineno}"
                )

    def _decorator(self, decorator: ast.expr) -> Iterator[str]:
        if isinstance(decorator, ast.Attribute) and decorator.attr in _ACCESSORS:
            return  # of a property that was defined just before
        if not isinstance(decorator, ast.Call):
            self._must_be_pure(decorator, "is decorated with")
        yield from self._value(decorator)

    def _value(self, value: ast.expr) -> Iterator[str]:
        if isinstance(value, ast.Lambda):
            yield from self.definition(value)
            return
        if isinstance(value, ast.Call):
            self._must_be_pure(value.func, "calls")
        elif isinstance(value, ast.Name):
            yield value.id
        elif isinstance(value, ast.Yield | ast.YieldFrom | ast.Await | ast.NamedExpr):
            raise SerializationError(f"a value in line {value.lineno} is computed while it is defined")
        for child in ast.iter_child_nodes(value):
            if isinstance(child, ast.expr):
                yield from self._value(child)
            elif isinstance(child, ast.keyword):
                yield from self._value(child.value)
            elif isinstance(child, ast.comprehension):
                for each in (child.iter, *child.ifs):
                    yield from self._value(each)

    def _must_be_pure(self, called: ast.expr, what: str) -> None:
        target = self._resolved(called)
        name = f"{getattr(target, '__module__', '')}.{getattr(target, '__qualname__', '')}"
        if name not in _PURE:
            raise SerializationError(
                f"its definition in line {called.lineno} {what} {ast.unparse(called)}, and what that does when it is "
                "done again elsewhere, nobody here knows"
            )

    def _resolved(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name):
            return self._names.get(node.id, getattr(builtins, node.id, None))
        if isinstance(node, ast.Attribute) and isinstance(module := self._resolved(node.value), ModuleType | type):
            return getattr(module, node.attr, None)
        return None


def _refuse_what_others_do_with_classes(kind: type) -> None:
    """Whoever is told of each new class, such as a registry in a library, would be told of ours."""
    told = [base for base in kind.__mro__[1:] if "__init_subclass__" in vars(base)]
    for each in (type(kind), *told):
        if by_name(each) and each.__module__ not in {"abc", "builtins", "enum", "typing"}:
            raise SerializationError(
                f"{each.__module__}.{each.__qualname__} does something with each class that is derived from it, and "
                f"would do it again with {kind.__qualname__}"
            )


def _refuse_marks(kind: type, flags: int) -> None:
    """Dataclasses look up what annotations that are text mean in their module, which the reader does not have."""
    notes = " ".join(map(str, vars(kind).get("__annotations__", {}).values()))
    marked = any(mark in notes for mark in ("ClassVar", "InitVar", "KW_ONLY"))
    if marked and flags & TEXT_NOTES and "__dataclass_fields__" in vars(kind):
        raise SerializationError(
            f"the dataclass {kind.__qualname__} has ClassVar, InitVar or KW_ONLY among annotations that are text, "
            "because of 'from __future__ import annotations'"
        )


def _functions_of(kind: type) -> Iterator[FunctionType]:
    for value in vars(kind).values():
        if isinstance(value, type) and value.__qualname__.startswith(f"{kind.__qualname__}."):
            yield from _functions_of(value)
            continue
        accessors = (getattr(value, name, None) for name in ("fget", "fset", "fdel", "func", "__func__", "__wrapped__"))
        for each in (value, *accessors):
            if isinstance(each, FunctionType) and is_main(each.__globals__.get("__name__")):
                yield each


def _is_written(function: FunctionType) -> bool:
    """Whether it stands in the script, and was not made by a class decorator."""
    return not function.__code__.co_filename.startswith("<string")


def _parsed(function: FunctionType) -> tuple[list[str], ast.Module]:
    code = function.__code__
    lines = linecache.getlines(code.co_filename, function.__globals__)
    if not lines:
        raise SerializationError(
            f"its source cannot be found: {code.co_name} was typed at a prompt or made by exec ({code.co_filename})"
        )
    return lines, _tree("".join(lines), code.co_filename)


@lru_cache(maxsize=16)
def _tree(text: str, file: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise SerializationError(f"the source in {file} is not Python any more: {error}") from error


def _classes(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.ClassDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield inside + node.name, node
            yield from _classes(node, f"{inside}{node.name}.")
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _classes(node, inside)


def _first_line(node: _Definition) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def _flags_of_main() -> int:
    noted = vars(sys.modules["__main__"]).get("annotations")
    return TEXT_NOTES if noted is __future__.annotations else 0
