"""What an owner writes, and what is said about it."""

from __future__ import annotations

import pytest

from afield.endpoint.host import marked
from afield.endpoint.settings import (
    ManagerSettings,
    PamSettings,
    ProcessPoolSettings,
    ThreadPoolSettings,
    UserLimits,
    UserSettings,
    manager_settings,
    user_settings,
)
from afield.errors import ConfigurationError

ID = "4b116d3c-1703-4f8f-9f6f-39921e5864df"


def manager(text):
    return manager_settings(marked.parse(text, "config.yaml"))


def user(text):
    return user_settings(marked.parse(text, "template"))


def complaint(read, text):
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    return str(caught.value)


def test_nothing_written_means_the_defaults():
    assert manager("") == (ManagerSettings(), [])
    assert user("") == (UserSettings(), [])
    assert user("engine:\n") == (UserSettings(), [])
    defaults = UserSettings()
    assert (defaults.heartbeat_period, defaults.idle_heartbeats_soft, defaults.idle_heartbeats_hard) == (30, 10, 5760)
    assert ManagerSettings().mu_child_ep_grace_period_s == 30


def test_what_is_written_counts():
    read, warnings = manager(f"""
display_name: The big one
service_url: https://afield.example.org
amqp_port: 443
heartbeat_period: 5
allowed_functions: [{ID}]
public: true
admins:
  - {ID}
debug: yes
log_dir: /var/log/afield
user_config_template_path: x.j2
user_config_schema_path: x.json
mu_child_ep_grace_period_s: 0
""")
    assert warnings == []
    assert read == ManagerSettings(
        display_name="The big one", service_url="https://afield.example.org", amqp_port=443, heartbeat_period=5.0,
        allowed_functions=(ID,), public=True, admins=(ID,), debug=True, log_dir="/var/log/afield",
        user_config_template_path="x.j2", user_config_schema_path="x.json", mu_child_ep_grace_period_s=0.0,
    )  # fmt: skip


def test_an_engine_block_is_read():
    read, warnings = user("""
engine:
  type: ThreadPoolEngine
  max_workers: 3
  working_dir: /scratch
  run_in_sandbox: true
  allowed_serializers: [a.B]
idle_heartbeats_soft: 0
endpoint_setup: |
  echo hello
endpoint_teardown:
""")
    assert warnings == []
    block = ThreadPoolSettings(
        max_workers=3,
        working_dir="/scratch",
        run_in_sandbox=True,
        allowed_serializers=("a.B",),
    )
    assert read == UserSettings(engine=block, idle_heartbeats_soft=0, endpoint_setup="echo hello\n")


def test_published_keys_without_effect_are_warned_about():
    _, warnings = manager("display_name: x\nmulti_user: true\nstdout: x\n")
    assert [warning.partition(":")[0] for warning in warnings] == ["config.yaml, line 2", "config.yaml, line 3"]
    assert "multi_user has no effect here: an endpoint is for many users if root starts it" in warnings[0]
    _, warnings = user("engine:\n  type: ProcessPoolEngine\n  encrypted: true\nheartbeat_threshold: 120\n")
    assert warnings == [
        "template, line 4: heartbeat_threshold has no effect here: a connection that is gone is noticed without it",
        "template, line 3: engine.encrypted has no effect here: no traffic of this engine leaves the machine",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\n\ndisplay_naem: x", "config.yaml, line 1: nobody knows the key a"),
        ("\ndisplay_naem: x", "config.yaml, line 2: nobody knows the key display_naem; did you mean display_name?"),
        (
            "# x\nheartbeat_period: -4",
            "line 2: heartbeat_period should be a number of seconds from 5 to 86400, and is",
        ),
        (
            "heartbeat_period: often",
            'heartbeat_period should be a number of seconds from 5 to 86400, and is "often"',
        ),
        ("public: maybe", 'line 1: public should be true or false, and is "maybe"'),
        ("amqp_port: 70000", "line 1: amqp_port should be a port number from 1 to 65535, and is 70000"),
        ("display_name: 3", "line 1: display_name should be text, and is 3"),
        ("admins: me", f'line 1: admins should be a list of ids like {ID}, and is "me"'),
        ("allowed_functions:\n  - x", f'line 1: allowed_functions should be a list of ids like {ID}, and is ["x"]'),
        ("public: true\nengine:\n  type: X", "line 2: an engine block belongs in the template of user endpoints"),
        ("public: true\npublic: false", "config.yaml, line 2: public is already set in line 1; keep one of them"),
        ("public: [", "config.yaml, line 1, column 10: this is not YAML:"),
        ("a: b\n c: d", "config.yaml, line 2, column 3: this is not YAML:"),
        ("? [1]\n: 2", "config.yaml, line 1: a key should be a word, and this one is not"),
        ("just words", "config.yaml should hold lines like `key: value`, and is a str"),
    ],
)
def test_what_is_wrong_in_a_managers_file_is_told(text, said):
    assert said in complaint(manager, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("engine: 3", "template, line 1: engine should be a block of keys such as `type: ProcessPoolEngine`, and is 3"),
        (
            "engine:\n  type: ProcesPoolEngine",
            (
                'line 2: engine.type "ProcesPoolEngine" is not an engine that is installed here: write one of '
                "ProcessPoolEngine, ThreadPoolEngine, GlobusComputeEngine, GlobusMPIEngine, ExecutorEngine; "
                "did you mean ProcessPoolEngine?"
            ),
        ),
        ("engine:\n\n  max_workers: 0", "line 3: engine.max_workers should be a whole number from 1 up, and is 0"),
        ("engine:\n  max_worker: 1", "line 2: nobody knows the key engine.max_worker; did you mean max_workers?"),
        ("idle_heartbeats_soft: -1", "line 1: idle_heartbeats_soft should be a whole number from 0 up, and is -1"),
        ("idle_heartbeats_soft: 1.5", "line 1: idle_heartbeats_soft should be a whole number from 0 up, and is 1.5"),
    ],
)
def test_what_is_wrong_in_a_template_is_told(text, said):
    assert said in complaint(user, text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("2", 2), ("0", 0), ('["0", "GPU-8f3c"]', ("0", "GPU-8f3c")), ("[0, 1]", (0, 1))],
)
def test_accelerators_are_counted_or_named(text, value):
    read, warnings = user(f"engine:\n  available_accelerators: {text}\n")
    assert read == UserSettings(engine=ProcessPoolSettings(available_accelerators=value))
    assert warnings == []


@pytest.mark.parametrize("text", ["-1", "yes", "all", "[[0]]"])
def test_accelerators_that_make_no_sense_are_told(text):
    said = complaint(user, f"engine:\n  available_accelerators: {text}\n")
    assert "line 2: engine.available_accelerators should be how many accelerators there are" in said


def test_files_that_cannot_be_read_are_told(tmp_path):
    with pytest.raises(ConfigurationError, match=r"config\.yaml does not exist.*afield endpoint configure"):
        marked.read(tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"config\.yaml cannot be read"):
        marked.read(tmp_path / "config.yaml")
    (tmp_path / "tabs.yaml").write_text("a:\n\tb: c\n")
    with pytest.raises(ConfigurationError, match=r"tabs\.yaml, line 2, column 1: this is not YAML"):
        marked.read(tmp_path / "tabs.yaml")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("display_name: 2021-13-45", "line 2, column 15: this is not YAML: '2021-13-45' cannot be read as timestamp"),
        ("amqp_port: !!int abc", "line 2, column 12: this is not YAML: 'abc' cannot be read as int"),
        ("amqp_port: " + "9" * 5000, "cannot be read as int"),
        ("debug: !!bool x", "cannot be read as bool"),
        ("display_name: !!timestamp x", "cannot be read as timestamp"),
        ("display_name: \0", "config.yaml: this is not YAML: unacceptable character"),
        ("admins: &a [*a]", "line 2: values lie in one another deeper than"),
        ("public: &a {b: *a}", "line 2: values lie in one another deeper than"),
        ("display_name: " + "[" * 5000, "values lie in one another deeper than"),
        ("heartbeat_period: .inf", "line 2: heartbeat_period should be a number of seconds from 5 to 86400"),
        ("heartbeat_period: .nan", "line 2: heartbeat_period should be"),
    ],
)
def test_what_yaml_allows_and_nobody_needs_is_told(line, said):
    assert said in complaint(manager, f"debug: false\n{line}\n".replace("debug: false\ndebug", "public: false\ndebug"))


def test_what_is_repeated_by_alias_is_walked_once():
    """Or this would take longer than anybody lives."""
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))]
    assert "nobody knows the key a0" in complaint(manager, "\n".join(lines))


def test_blocks_of_the_managers_file_are_read():
    read, warnings = manager("""
email: ada@example.org
identity_mapping_config_path: /etc/afield/mapping.json
pam: {enable: true, service_name: afield}
user_limits:
  nofile: 1024
lending:
  people: [ada@example.org]
  hours: ["mon-fri 18:00-08:00", "Sat,Sun 00:00-24:00", "12:00-13:00"]
  max_walltime: "08:00:00"
""")
    assert warnings == []
    assert read.pam == PamSettings(enable=True, service_name="afield")
    assert read.user_limits == UserLimits(core=0, nofile=1024)
    assert read.lending.people == ("ada@example.org",)
    assert read.lending.hours[2] == "12:00-13:00"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pam: true", "config.yaml, line 1: pam should be a block of keys (enable, service_name), and is true"),
        ("pam:\n  enable: 3", "config.yaml, line 2: pam.enable should be true or false, and is 3"),
        ("pam:\n  enabled: true", "line 2: nobody knows the key pam.enabled; did you mean enable?"),
        ("lending:\n\n  hours: [25:00-08:00]", "line 3: lending.hours should be a list of hours such as"),
        ('lending:\n  hours: ["mon-tuesday 08:00-09:00"]', "line 2: lending.hours should be a list of hours such as"),
        ("lending:\n  function_digests: [abc]", "line 2: lending.function_digests should be a list of SHA-256"),
        ("lending:\n  max_walltime: 8 hours", "line 2: lending.max_walltime should be hours, minutes and seconds"),
    ],
)
def test_what_is_wrong_in_a_block_is_told_with_its_line(text, said):
    with pytest.raises(ConfigurationError) as caught:
        manager(text)
    assert said in str(caught.value)
