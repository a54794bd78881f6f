"""The page with all scenarios and cells: what stands in it, and what a run of the tests found."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

__all__ = ["CELLS", "PAGE", "Results", "Scenario", "page", "rows_of", "scenarios"]

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "reference" / "published-packages.md"

#: (deployment, client, endpoint), in the order of the columns
CELLS = tuple(product(("embedded", "production"), ("ours", "theirs"), ("ours", "theirs")))

_HEAD = """\
# Tried with the published packages

For everybody who wants to know exactly what works together. Each row is a scenario that the tests run with the
unmodified `globus-compute-sdk` and `globus-compute-endpoint` {version}, as real processes that only environment
variables configure: `make interop`, which also writes this page. What each published name is here:
[compatibility](compatibility.md), [endpoints](endpoint-compatibility.md).

A column is a cell: whose client → whose endpoint, with a service as one person runs it (*embedded*: `afield up`) and as
an institution does (*production*: `afield serve` with RabbitMQ and PostgreSQL). A script is the same text in all of
them, but for the name of the package in its imports. **yes**: it was seen to work. **-**: it has no meaning there, and
below the table is why. **not tried**: not yet on a machine that has what it needs. A scenario without a client or an
endpoint of its own counts for each.
"""
_NOT_TRIED = "not tried"
_COLUMNS = "".join(f" | {deployment}: {client} → {endpoint}" for deployment, client, endpoint in CELLS)


@dataclass(frozen=True)
class Scenario:
    """A test, in the words of its docstring."""

    file: str
    name: str
    text: str


@dataclass
class Results:
    """What a run found: for each scenario, by (file, name), and cell."""

    passed: dict[tuple[str, str], set[tuple[str, str, str]]] = field(default_factory=dict)
    failed: dict[tuple[str, str], set[tuple[str, str, str]]] = field(default_factory=dict)
    #: and why
    impossible: dict[tuple[str, str], dict[tuple[str, str, str], str]] = field(default_factory=dict)


def cells(cell: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Those that a test stands for: all that agree with what it was given."""
    given = (cell.get("deployment"), cell.get("whose_client"), cell.get("whose_endpoint"))
    return [one for one in CELLS if all(mine in {None, its} for mine, its in zip(given, one, strict=True))]


def scenarios() -> Iterable[tuple[str, list[Scenario]]]:
    """All that there are, by the first line of their file's docstring: tests with a service and a docstring."""
    for file in sorted(HERE.glob("test_*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        behind = _deployed(tree)
        found = []
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and behind & _arguments(node):
                text = ast.get_docstring(node)
                found += [Scenario(file.stem, node.name, " ".join(text.split()))] if text else []
        if found:
            yield (ast.get_docstring(tree) or file.stem).split("\n\n")[0].replace("\n", " "), found


def _deployed(tree: ast.Module) -> set[str]:
    """The fixtures behind which there is a service."""
    found, size = {"cell", "deployment"}, 0
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    while size < len(found):
        size = len(found)
        found |= {one.name for one in functions if one.decorator_list and found & _arguments(one)}
    return found


def _arguments(function: ast.FunctionDef) -> set[str]:
    return {argument.arg for argument in function.args.args}


def page(results: Results, version: str, before: str = "") -> str:
    """The whole page.

    :param before: what it was; a cell that was not tried now stays as it is there
    """
    known = rows_of(before)
    parts = [_HEAD.format(version=version)]
    for title, group in scenarios():
        parts.append(f"\n## {title.rstrip('.')}\n\n| scenario{_COLUMNS} |\n|---{'|---' * len(CELLS)}|\n")
        reasons: dict[str, list[str]] = {}
        for one in group:
            key = (one.file, one.name)
            why_not = results.impossible.get(key, {})
            last = known.get(one.text, [_NOT_TRIED] * len(CELLS))
            seen = [_seen(results, key, cell) or was for cell, was in zip(CELLS, last, strict=True)]
            parts.append(f"| {one.text} | {' | '.join(seen)} |\n")
            for reason in dict.fromkeys(why_not.values()):
                reasons.setdefault(reason, []).append(one.text)
        parts += [f"\n- {reason} ({'; '.join(texts)}).\n" for reason, texts in reasons.items()]
    return "".join(parts)


def _seen(results: Results, key: tuple[str, str], cell: tuple[str, str, str]) -> str:
    if cell in results.failed.get(key, ()):
        return "**no**"
    if cell in results.passed.get(key, ()):
        return "yes"
    return "-" if cell in results.impossible.get(key, {}) else ""


def rows_of(text: str) -> dict[str, list[str]]:
    """What stands in a page: the cells of each scenario, by its text."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {name: seen for name, *seen in rows if name != "scenario"}
