"""Users' options, through an owner's template, to settings."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afield.endpoint.host.defaults import write_defaults
from afield.endpoint.host.directory import EndpointDirectory
from afield.endpoint.manager.owner import read_environment, read_settings, read_template
from afield.endpoint.manager.template import Template, load_schema, render
from afield.errors import ConfigurationError


def rendered(text, options=None, schema=None, directory=None, **reserved):
    given = {"parent_config": {}, "user_runtime": {}, "mapped_identity": {}} | reserved
    source = (directory or Path("/nowhere")) / "t.j2"
    return render(Template(text, source, schema), options or {}, **given).settings


def complaint(*arguments, **more):
    with pytest.raises(ConfigurationError) as caught:
        rendered(*arguments, **more)
    return str(caught.value)


def test_options_are_filled_in():
    text = "engine:\n  max_workers: {{ n }}\ndisplay_name: {{ name }}\n"
    settings = rendered(text, {"n": 3, "name": "x"})
    assert settings.engine.max_workers == 3
    assert settings.display_name == "x"


@given(st.text())
def test_no_text_breaks_out_of_its_place(text):
    settings = rendered("display_name: {{ name }}\nendpoint_setup: before\n", {"name": text})
    assert settings.display_name == text
    assert settings.endpoint_setup == "before"


@given(st.text())
def test_no_text_breaks_out_of_a_shell_word(text):
    settings = rendered("endpoint_setup: {{ word | shell_escape }}\n", {"word": text})
    assert shlex.split(settings.endpoint_setup, posix=True) == [text]


def test_texts_are_quoted_before_the_template_sees_them():
    assert rendered("""debug: {{ "true" if kind == '"x"' else "false" }}""", {"kind": "x"}).debug
    assert rendered("debug: {{ 'true' if n == 3 else 'false' }}", {"n": 3}).debug
    assert rendered("display_name: {{ a[0].b }}", {"a": [{"b": "deep"}]}).display_name == "deep"


def test_a_reserved_name_is_there_and_cannot_be_given():
    runtime = {"python": {"version_tuple": [3, 11, 7]}, "python_version": "3.11.7", "none": None}
    for way in ("_GC.user_runtime", "user_runtime"):
        settings = rendered("display_name: {{ " + way + ".python_version }}", user_runtime=runtime)
        assert settings.display_name == "3.11.7"
    assert "the option _GC is set by the endpoint and cannot be given" in complaint("", {"_GC": 1})
    assert "the option parent_config is set" in complaint("", {"parent_config": {}})


def test_what_is_wrong_with_options_is_told():
    assert "t.j2, line 2 needs something that was not given: 'n' is undefined" in complaint("\ndebug: {{ n }}")
    schema = {"properties": {"n": {"type": "integer", "minimum": 1}}, "additionalProperties": False}
    assert "the option n does not fit this endpoint: 0 is less than the minimum of 1" in complaint(
        "", {"n": 0}, schema=schema
    )
    said = complaint("", {"m": 0}, schema=schema)
    assert "what user_endpoint_config holds does not fit this endpoint" in said
    assert "'m' was unexpected" in said
    assert "the option n holds half of a character" in complaint("", {"n": "\ud800"})


def test_what_is_wrong_with_a_template_is_told():
    assert "t.j2, line 2: " in complaint("debug: true\n{% if x %}")
    assert "cannot be rendered" in complaint("debug: {{ n + 'x' }}", {"n": 1})
    assert "cannot be rendered" in complaint("debug: {{ 1 // n }}", {"n": 0})
    assert "t.j2, line 1 (rendered line 1, 'debug: 1'): debug should be true or false" in complaint(
        "debug: {{ n }}", {"n": 1}
    )
    assert "t.j2, line 3 (rendered line 3, 'type: X')" in complaint("{% if true %}\nengine:\n  type: X\n{% endif %}")
    assert "t.j2, line 2 cannot be rendered" in complaint("debug: true\n{{ 1 // n }}", {"n": 0})


def test_a_template_stays_in_its_sandbox():
    assert "cannot be rendered" in complaint("display_name: {{ n.__class__.__mro__ }}", {"n": 1})
    assert "cannot be rendered" in complaint("display_name: {{ n.__format__.__globals__ }}", {"n": "x"})


def test_a_template_may_use_its_neighbours(tmp_path):
    (tmp_path / "base.j2").write_text("debug: true\n")
    assert rendered("{% include 'base.j2' %}", directory=tmp_path).debug
    assert "cannot be rendered" in complaint("{% include 'gone.j2' %}", directory=tmp_path)


def test_a_schema_is_read_and_checked(tmp_path):
    path = tmp_path / "schema.json"
    assert load_schema(path) is None
    path.write_text('{"type": "object"}')
    assert load_schema(path) == {"type": "object"}
    for text, said in (
        ("{\n,", r"schema\.json, line 2: this is not JSON"),
        ('{"type": "objekt"}', r"schema\.json is not a JSON schema: at \$\.type"),
        ("true", r"schema\.json should hold a JSON object"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=said):
            load_schema(path)


@pytest.fixture
def mine(tmp_path):
    directory = EndpointDirectory("mine", tmp_path / "mine")
    write_defaults(directory, display_name='A "name"', service_url=None)
    return directory


def test_the_files_that_are_written_can_be_read(mine):
    settings, warnings = read_settings(mine)
    assert (settings.display_name, warnings) == ('A "name"', [])
    template = read_template(mine, settings)
    reserved = {"parent_config": {}, "user_runtime": {}, "mapped_identity": {}}
    assert render(template, {}, **reserved).settings.engine.max_workers is None
    assert render(template, {"max_workers": 2}, **reserved).settings.engine.max_workers == 2
    assert render(template, {"anything": "else"}, **reserved).warnings == []
    with pytest.raises(ConfigurationError, match="the option max_workers does not fit this endpoint"):
        render(template, {"max_workers": "many"}, **reserved)
    assert read_environment(mine) == {}


def test_an_owner_may_put_files_elsewhere(mine):
    mine.config.write_text("user_config_template_path: other.j2\nuser_config_schema_path: other.json\n")
    settings, _ = read_settings(mine)
    with pytest.raises(ConfigurationError, match=r"other\.j2, cannot be read"):
        read_template(mine, settings)
    (mine.path / "other.j2").write_text("debug: true")
    with pytest.raises(ConfigurationError, match=r"other\.json, named as user_config_schema_path.*does not exist"):
        read_template(mine, settings)
    (mine.path / "other.json").write_text(json.dumps({"type": "object"}))
    assert read_template(mine, settings).schema == {"type": "object"}


def test_an_environment_is_plain(mine):
    mine.environment.write_text("A: x\nB: 1.50\nC: true\nD:\nE: 010\n")
    assert read_environment(mine) == {"A": "x", "B": "1.50", "C": "true", "D": "", "E": "010"}, "as it is written"
    for line in ("A=B: c", "'': c", "1: c", 'A: "x\\0"', 'A: "\\ud800"'):
        mine.environment.write_text(f"{line}\n")
        with pytest.raises(ConfigurationError, match=r"user_environment\.yaml, line 1"):
            read_environment(mine)
    mine.environment.write_text("A: x\nB: [3]\n")
    with pytest.raises(ConfigurationError, match=r"user_environment\.yaml, line 2: the variable B should be one plain"):
        read_environment(mine)
    mine.environment.unlink()
    assert read_environment(mine) == {}


@pytest.mark.parametrize("key", ["debug: true\nx", "a: b", "a #", '"a"', "{", "- a", "-", "a ", "\u2028", "", "!!str"])
def test_no_key_breaks_out_of_its_place(key):
    text = "{% for key, value in x.items() %}{{ key }}: {{ value }}\n{% endfor %}"
    assert "which cannot go into a configuration" in complaint(text, {"x": {key: 1}})


@pytest.mark.parametrize("key", ["a/b.c-d e+f", "größe", "x_y", "3"])
def test_other_keys_mean_themselves(key):
    assert f"nobody knows the key {key}" in complaint("{% for key in x %}{{ key }}: 1{% endfor %}", {"x": {key: 1}})


@pytest.mark.parametrize("text", ["3", "null", "NaN", "[" * 100_000, '{"$schema": 5}', "[]"])
def test_what_is_no_schema_at_all_is_told(tmp_path, text):
    (tmp_path / "schema.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"schema\.json"):
        load_schema(tmp_path / "schema.json")


@pytest.mark.parametrize("target", ["http://127.0.0.1:9/x", "#/definitions/gone", "#"])
def test_a_schema_that_leads_nowhere_is_told_and_nothing_is_fetched(target):
    assert "the schema of this endpoint's options is broken" in complaint("", {"n": 1}, schema={"$ref": target})


def test_a_home_that_nobody_has_is_told(mine):
    mine.config.write_text("user_config_template_path: ~nobody-of-that-name/x\n")
    with pytest.raises(ConfigurationError, match="nobody knows that home directory"):
        read_template(mine, read_settings(mine)[0])
