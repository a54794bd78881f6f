"""The page of the public names says what the docstrings say."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import afield

MAKER = Path(__file__).parents[1] / "docs" / "reference" / "make.py"


def maker() -> Any:
    spec = spec_from_file_location("make_reference", MAKER)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_docstrings_say() -> None:
    made = maker()
    assert made.PAGE.read_text() == made.text(), "run python docs/reference/make.py"


def test_every_public_name_has_its_place() -> None:
    page = maker().text()
    errors = (MAKER.parent / "errors.md").read_text()
    for name in afield.__all__:
        if name not in {"__version__", "errors"}:
            assert f"## {name}\n" in page or f"`{name}`" in errors, name


def test_what_the_endpoints_page_says_was_tried_is_there():
    page = (Path(__file__).parents[1] / "docs" / "reference" / "endpoint-compatibility.md").read_text()
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    tried = [name for row in rows for name in re.findall(r"`([\w/.]+)`", row[-2])]
    assert len(tried) > 60
    for name in tried:
        assert (Path(__file__).parents[1] / "tests" / name).exists(), f"tests/{name}"
