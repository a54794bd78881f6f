"""The page about limits names all of them, with the defaults that they have."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from afield.service.settings import Limits

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "limits.md"


def test_the_page_has_every_limit_with_its_default():
    said = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE.read_text(), re.MULTILINE))
    assert said == {field.name: str(field.default) for field in fields(Limits)}
