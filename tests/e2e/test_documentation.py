"""Every example in README and docs runs, and every link leads somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: Commands that are not run from a page, and what runs them instead.
ELSEWHERE = {
    "make": "continuous integration",
    "pip": "the set-up of this very environment",
    "afield up": "the fixture behind all of this",
    "afield serve": "test_serve",
    "afield demo": "test_demo",
    "afield admin doctor": "test_doctor",
    "afield admin backup": "test_backup",
    "afield admin restore": "test_backup",
    "afield admin user": "test_login_admin",
    "afield client": "test_login_commands",
    "afield endpoint": "test_endpoint_alone",
    "afield group": "test_login_commands",
    "afield login": "test_login_commands",
    "afield logout": "test_login_commands",
    "afield token": "test_login_commands",
    "afield whoami": "test_login_commands",
    "python examples/": "test_examples",
    "export": "the shell; only how to set a variable",
    "AFIELD_": "test_endpoint_alone",
}


def blocks(kind: str) -> list[object]:
    found = []
    for page in PAGES:
        texts = [match.group(2) for match in FENCE.finditer(page.read_text()) if match.group(1) == kind]
        name = page.relative_to(ROOT).as_posix()
        found += [pytest.param(text, id=f"{name}-{number}") for number, text in enumerate(texts, 1)]
    return found


@pytest.mark.parametrize("text", blocks("python"))
def test_python(up, text):
    up.script(text)


@pytest.mark.parametrize("text", blocks("console"))
def test_commands_are_known_to_a_test(text):
    commands = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    assert commands, "a console block without a command"
    for command in commands:
        assert shlex.split(command, comments=True)
        assert any(command.startswith(known) for known in ELSEWHERE), command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
