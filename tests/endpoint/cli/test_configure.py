"""Endpoints are made, and their templates tried, as machine owners do it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from afield.endpoint.cli import app
from afield.endpoint.host.engine_texts import ENGINES

PATIENCE_S = 60
ID = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
CLI = (sys.executable, "-m", "afield.endpoint.cli")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root is asked about many users")
needs_parsl = pytest.mark.skipif(find_spec("parsl") is None, reason="parsl is not installed")


class Here:
    """Commands in this process, for a new one takes a second; what waits for a terminal runs in one of its own."""

    def __init__(self, user_dir):
        self.user_dir = user_dir

    def __call__(self, *arguments, code=0, stdin=None):
        """Run a command; what it said."""
        done = CliRunner().invoke(app, arguments, input=stdin)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        assert done.exit_code == code, done.output
        return done.output


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("AFIELD_USER_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return Here(tmp_path)


def files(machine, name="mine"):
    return machine.user_dir / "endpoints" / name


@pytest.mark.parametrize("kind", sorted(ENGINES))
def test_what_is_written_for_each_engine_renders_with_and_without_options(here, kind):
    here("configure", "mine", "--engine", kind)
    schema = json.loads((files(here) / "user_config_schema.json").read_text())
    samples = {"integer": 71, "string": "some words"}
    options = {key: samples[one["type"]] for key, one in schema["properties"].items()}
    if "walltime" in options:
        options["walltime"] = "02:11:00"
    if kind == "kubernetes" and find_spec("kubernetes") is None:
        assert "kubernetes" in here("render", "mine", code=78), "said by name"
        return
    plain = yaml.safe_load(here("render", "mine", "--all"))
    asked = here("render", "mine", "-o", json.dumps(options))
    assert "warning" not in asked
    assert [value for value in options.values() if str(value) not in asked] == []
    assert asked.count("71") == list(options.values()).count(71), "each in its place"
    assert plain["idle_heartbeats_soft"] == 10


def test_flags_are_written_down(here):
    here("configure", "mine", "--display-name", 'A "big" one: Größe', "--auth-policy", ID, "--high-assurance",
            "--contact-email", "ada@example.org", "--service-url", "https://afield.example.org")  # fmt: skip
    written = yaml.safe_load((files(here) / "config.yaml").read_text())
    assert written == {
        "display_name": 'A "big" one: Größe', "authentication_policy": ID, "high_assurance": True,
        "email": "ada@example.org", "service_url": "https://afield.example.org",
    }  # fmt: skip


def test_an_endpoint_for_many_users_gets_rules_to_fill_in(here):
    assert "--contact-email" in here("configure", "mine", "--multi-user", "true", code=78)
    assert not files(here).exists(), "nothing half-done"
    said = here("configure", "mine", "--multi-user", "true", "--contact-email", "ada@example.org")
    written = yaml.safe_load((files(here) / "config.yaml").read_text())
    rules = Path(written["identity_mapping_config_path"])
    assert rules.parent == files(here)
    assert rules.name in said
    assert json.loads(rules.read_text())[0]["DATA_TYPE"] == "expression_identity_mapping#1.0.0"
    assert written["public"] is True


@AS_ROOT
def test_the_rules_that_are_written_are_rules(here):
    here("configure", "mine", "--multi-user", "true", "--contact-email", "ada@example.org")
    assert "would be daemon" in here("check-mapping", "mine", "--username", "daemon@example.com", code=78)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--engine", "slrum"), "--engine slrum is none of process, threads, htex, mpi, slurm, pbs, kubernetes; did"),
        (("--multi-user", "perhaps"), "--multi-user should be true or false, and is 'perhaps'"),
        (("--high-assurance",), "say which, with --auth-policy"),
        (("--auth-policy", "mine"), "authentication_policy should be an id, and is"),
        (("--template-config", "gone.j2"), "gone.j2 cannot be read"),
        (("--manager-config", "c.yaml", "--display-name", "x"), "would change the file of --manager-config"),
    ],
)
def test_what_does_not_go_is_told_and_nothing_is_written(here, arguments, said):
    (here.user_dir / "c.yaml").write_text("debug: true\n")
    assert said in here("configure", "mine", *arguments, code=78)
    assert not files(here).exists()


def test_files_of_ones_own_are_taken_if_they_are_right(here):
    place = here.user_dir
    own = {"--core-config": ("c.yaml", "debug: true\n"), "--template-config": ("t.j2", "engine: {% if x %}"),
           "--schema-config": ("s.json", '{"type": "object"}'), "--user-env-config": ("e.yaml", "A: b\n")}  # fmt: skip
    for name, text in own.values():
        (place / name).write_text(text)
    arguments = [part for option, (name, _) in own.items() for part in (option, name)]
    assert "user_config_template.yaml.j2, line 1: Unexpected end of template" in here(
        "configure", "mine", *arguments, code=78
    )
    (place / "s.json").write_text("{")
    (place / "t.j2").write_text("engine: {type: ThreadPoolEngine}\n")
    assert "user_config_schema.json, line 1: this is not JSON" in here("configure", "mine", *arguments, code=78)
    (place / "s.json").write_text("{}")
    here("configure", "mine", *arguments)
    assert (files(here) / "config.yaml").read_text() == "debug: true\n"
    assert (files(here) / "user_environment.yaml").read_text() == "A: b\n"
    assert "ThreadPoolEngine" in here("render", "mine")


@AS_ROOT
@pytest.mark.parametrize("answers", [["n"], ["y", "ada@example.org"]])
def test_root_at_a_terminal_is_asked_once(machine, answers):
    ours, theirs = pty.openpty()
    with subprocess.Popen([*CLI, "configure", "mine"], stdin=theirs, stdout=theirs, stderr=theirs,
                          env=machine.environment, cwd=machine.user_dir) as process:  # fmt: skip
        os.close(theirs)
        said = b""
        for answer in answers:
            while not said.rstrip().endswith((b"[y/N]:", b"?:")):
                said += os.read(ours, 1024)
            os.write(ours, f"{answer}\n".encode())
            said = b""
        while process.poll() is None:
            try:
                said += os.read(ours, 1024)
            except OSError:  # the terminal ends with whoever has it
                break
        assert process.wait(PATIENCE_S) == 0, said
    os.close(ours)
    written = yaml.safe_load((files(machine) / "config.yaml").read_text())
    assert written.get("email") == (answers[1] if len(answers) > 1 else None)


# render


def test_a_template_is_tried_without_an_endpoint(here):
    place = here.user_dir
    (place / "t.j2").write_text(
        "display_name: {{ _GC.parent_config.display_name }}-{{ _GC.mapped_identity.local.uname }}\n"
        "debug: {{ 'true' if _GC.user_runtime.python == '\"3.12\"' else 'false' }}\n"
        "engine: {max_workers: {{ n }}}\n"
    )
    (place / "s.json").write_text('{"properties": {"n": {"maximum": 9}}}')
    (place / "parent.yaml").write_text("display_name: Cluster\n")
    (place / "runtime.json").write_text('{"python": "3.12"}')
    (place / "identity.json").write_text('{"local": {"uname": "ada"}}')
    arguments = ("render-user-config", "-t", "t.j2", "-s", "s.json", "--parent-config", "parent.yaml",
                 "--user-runtime", "runtime.json", "--mapped-identity", "identity.json")  # fmt: skip
    said = here(*arguments, "-o", "-", stdin='{"n": 3}')
    assert yaml.safe_load(said) == {"display_name": "Cluster-ada", "debug": True, "engine": {"max_workers": 3}}
    (place / "o.json").write_text('{"n": 10}')
    assert "the option n does not fit this endpoint: 10 is greater" in here(*arguments, "-o", "o.json", code=78)
    assert "t.j2, line 3 needs something that was not given: 'n' is undefined" in here(*arguments, code=78)
    said = here("render", "-t", "-", "-o", "-", stdin="", code=78)
    assert "--template and --options are both standard input" in said
    assert "--user-runtime should be a JSON object" in here(
        "render", "-t", "t.j2", "--user-runtime", "-", stdin="[]", code=78
    )


def test_without_a_file_a_template_sees_this_python_as_the_submitter_s(here):
    (here.user_dir / "t.j2").write_text("engine: {max_workers: {{ _GC.user_runtime.python.version_tuple[0] }}}\n")
    assert yaml.safe_load(here("render", "-t", "t.j2"))["engine"]["max_workers"] == sys.version_info.major


def test_a_template_sees_the_environment_but_not_what_logs_its_owner_in(here, monkeypatch):
    monkeypatch.setenv("SITE", "blue")
    monkeypatch.setenv("AFIELD_TOKEN", "secret")
    here("configure", "mine")
    template = files(here) / "user_config_template.yaml.j2"
    template.write_text('display_name: "{{ _GC.env.SITE }} {{ _GC.env.AFIELD_TOKEN | default("-") }}"\n')
    assert 'display_name: "blue -"' in here("render-user-config", "-e", "mine")


@needs_parsl
@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("provider: {type: SlurmProvider, partiton: debug}", "nobody knows the key engine.provider.partiton"),
        ("provider: {type: LocalProvider, launcher: {type: SrunLauncer}}", "did you mean SrunLauncher?"),
        ("provider: {type: AWSProvider, image_id: x, key_name: y, regoin: z}", "did you mean region?"),
        ("job_status_kwargs: {strategy: sipmle}", "is no strategy"),
        ("container_type: docker", "needs engine.container_uri"),
    ],
)
def test_what_only_parsl_knows_is_found_out_without_a_start(here, block, said):
    (here.user_dir / "t.j2").write_text(f"# {'x' * 20}\nengine:\n  type: GlobusComputeEngine\n  {block}\n")
    told = here("render", "-t", "t.j2", code=78)
    assert said in told
    assert "t.j2, line 4" in told or "container" in told


@needs_parsl
def test_an_interface_that_this_machine_does_not_have_is_told(machine):
    """In a process of its own, for Parsl leaves a socket open."""
    block = "type: GlobusComputeEngine\n  address:\n    type: address_by_interface\n    ifname: nowhere0\n"
    (machine.user_dir / "t.j2").write_text(f"engine:\n  {block}")
    assert "t.j2, line 3 (rendered line 3, 'address:')" in machine("render", "-t", "t.j2", code=78)


# files of before templates

OLD = """\
# mine
display_name: x
engine:
  type: ThreadPoolEngine  # for {{ braces }}
  max_workers: 2
# how long
idle_heartbeats_soft: 3
heartbeat_period: 60
"""


def test_an_endpoint_of_one_file_becomes_one_with_a_template(here):
    place = files(here)
    place.mkdir(parents=True)
    (place / "config.yaml").write_text(OLD)
    assert "migrate-to-template-capable" in here("start", "mine", code=78)
    said = here("migrate-to-template-capable", "mine", "--yes")
    assert "engine, idle_heartbeats_soft" in said
    assert yaml.safe_load((place / "config.yaml").read_text()) == {"display_name": "x", "heartbeat_period": 60}
    assert (place / "config.yaml.before").read_text() == OLD
    rendered = yaml.safe_load(here("render", "mine"))
    assert rendered == {"engine": {"type": "ThreadPoolEngine", "max_workers": 2}, "idle_heartbeats_soft": 3}
    assert "there is nothing to do" in here("migrate-to-template-capable", "mine")


@pytest.mark.parametrize(
    ("text", "said"),
    [("{engine: {type: ThreadPoolEngine}, debug: true}", "several keys on one row"), ("engine: [", "not YAML")],
)
def test_what_cannot_be_divided_is_left_alone(here, text, said):
    place = files(here)
    place.mkdir(parents=True)
    (place / "config.yaml").write_text(text)
    assert said in here("migrate-to-template-capable", "mine", "--yes", code=78)
    assert (place / "config.yaml").read_text() == text
    (place / "config.yaml").write_text("engine: {}\n")
    (place / "user_config_template.yaml.j2").write_text("debug: true\n")
    assert "is there already" in here("migrate-to-template-capable", "mine", "--yes", code=78)
    assert (place / "user_config_template.yaml.j2").read_text() == "debug: true\n"
