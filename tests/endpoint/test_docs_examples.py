"""What the pages for machine owners say, an endpoint reads as they say."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import msgspec
import pytest

from afield.endpoint.host import marked
from afield.endpoint.manager.template import Template, load_schema, render
from afield.endpoint.settings import (
    EngineSettings,
    ExecutorSettings,
    HtexSettings,
    LendingSettings,
    ManagerSettings,
    MpiSettings,
    PamSettings,
    ProcessPoolSettings,
    ThreadPoolSettings,
    UserLimits,
    UserSettings,
    manager_settings,
)
from afield.errors import ConfigurationError
from afield.sdk.batch import this_runtime

DOCS = Path(__file__).parents[2] / "docs"
HOWTO = sorted((DOCS / "howto" / "machine").glob("*.md"))
REFERENCE = DOCS / "reference" / "endpoint-configuration.md"

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `([\w.]+)` \|([^|]*)\|", re.MULTILINE)


def blocks(kind):
    return [text for page in HOWTO for found, text in FENCE.findall(page.read_text()) if found == kind]


def rendered(text, schema=None, **options):
    known = {"parent_config": {}, "user_runtime": this_runtime(), "mapped_identity": {}}
    made = render(Template(text, Path("/nowhere/page.md"), schema), options, **known)
    return made.settings, made.warnings


@pytest.mark.parametrize("text", [text for text in blocks("yaml") if "engine:" in text])
def test_templates_on_the_pages_render_without_complaint(text):
    settings, warnings = rendered(text)
    assert warnings == []
    assert settings != UserSettings()


@pytest.mark.parametrize("text", [text for text in blocks("yaml") if "engine:" not in text])
def test_configurations_on_the_pages_are_read_without_complaint(text):
    settings, warnings = manager_settings(marked.parse(text, "page.md"))
    assert warnings == []
    assert settings != ManagerSettings()


def test_the_option_on_the_page_is_taken_and_the_schema_beside_it_holds(tmp_path):
    [text] = [text for text in blocks("yaml") if "{{ max_workers" in text]
    [schema_text] = [text for text in blocks("json") if '"properties"' in text]
    (tmp_path / "schema.json").write_text(schema_text)
    schema = load_schema(tmp_path / "schema.json")
    assert rendered(text, schema)[0].engine.max_workers == 2
    assert rendered(text, schema, max_workers=4)[0].engine.max_workers == 4
    for wrong in (0, 9, "4"):
        with pytest.raises(ConfigurationError, match="the option max_workers does not fit this endpoint"):
            rendered(text, schema, max_workers=wrong)


def test_the_template_with_an_environment_for_each_python_chooses_that_of_the_submitter():
    [text] = [text for text in blocks("yaml") if "user_runtime" in text]
    chosen = rendered(text)[0].engine.provider["worker_init"]
    assert chosen.strip() == "source /opt/envs/afield-{}.{}/bin/activate".format(*sys.version_info[:2])


def tables():
    """Heading of the page -> key -> default as it is written there."""
    parts = re.split(r"^## (.*)$", REFERENCE.read_text(), flags=re.MULTILINE)
    return {title: dict(ROW.findall(body)) for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def defaults(record, prefix=""):
    return {prefix + field.name: field.default for field in msgspec.structs.fields(record) if field.name != "engine"}


def own(record, base):
    """What a record has beside those of its base."""
    return {f"engine.{key}": default for key, default in defaults(record).items() if key not in defaults(base)}


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("config.yaml", defaults(ManagerSettings)),
        ("pam", defaults(PamSettings, "pam.")),
        ("user_limits", defaults(UserLimits, "user_limits.")),
        ("lending", defaults(LendingSettings, "lending.")),
        ("user_config_template.yaml.j2, as rendered", defaults(UserSettings)),
        ("engine, of every type", {"engine.type": ...} | defaults(EngineSettings, "engine.")),
        ("ProcessPoolEngine", own(ProcessPoolSettings, EngineSettings)),
        ("ThreadPoolEngine", own(ThreadPoolSettings, EngineSettings)),
        ("GlobusComputeEngine", own(HtexSettings, EngineSettings)),
        ("GlobusMPIEngine", own(MpiSettings, HtexSettings)),
        ("ExecutorEngine", own(ExecutorSettings, EngineSettings)),
    ],
)
def test_the_reference_has_every_key_with_its_default(title, expected):
    written = tables()[title]
    assert set(written) == set(expected)
    for key, default in expected.items():
        if isinstance(default, int | float | str):  # words stand for the others
            expected_text = str(default).lower() if isinstance(default, bool) else str(default).removesuffix(".0")
            assert written[key].strip("` ") == expected_text, key
