"""Files in the ways of writing that published endpoints know, as they are."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from afield.endpoint import assemble
from afield.endpoint.host import marked
from afield.endpoint.host.directory import EndpointDirectory
from afield.endpoint.manager.owner import read_environment, read_settings, read_template
from afield.endpoint.manager.template import Template, render
from afield.endpoint.settings import (
    HtexSettings,
    MpiSettings,
    ProcessPoolSettings,
    ThreadPoolSettings,
    manager_settings,
)
from afield.errors import ConfigurationError
from afield.testing.engines import running
from afield.testing.jobs import packed_job, value_of

PUBLISHED = os.environ.get("AFIELD_TEST_PUBLISHED_PYTHON", "")
ID = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
ACCOUNT = {"local": {"uname": "ada", "uid": 1000, "dir": "/home/ada", "gecos": "Ada"}, "globus": {"id": ID}}
#: As a published SDK says it of itself.
RUNTIME = {"globus_compute_sdk_version": "4.10.0", "python": {"version_tuple": [3, 11, 7], "version": "3.11.7"}}


def rendered(text, options=None, directory=Path("/nowhere"), **reserved):
    given = {"parent_config": {}, "user_runtime": {}, "mapped_identity": ACCOUNT} | reserved
    return render(Template(text, directory / "t.j2"), options or {}, **given)


def engine(text):
    made = rendered("engine:\n" + "".join(f"  {line}\n" for line in text.strip().splitlines()))
    return made.settings.engine, made.warnings


def refusal(text):
    with pytest.raises(ConfigurationError) as caught:
        engine(text)
    return str(caught.value)


# engines, in the forms of published pages


def test_an_engine_on_a_cluster_is_read_key_by_key():
    settings, warnings = engine("""
type: GlobusComputeEngine
label: big
max_retries_on_system_failure: 2
max_workers_per_node: 4
encrypted: false
address:
  type: address_by_interface
  ifname: bond0
job_status_kwargs: {max_idletime: 300, strategy_period: 120}
available_accelerators: [0, 1]
cpu_affinity: "list:0-3:4-7"
worker_port_range: [50000, 55000]
provider:
  type: SlurmProvider
  partition: debug
  launcher:
    type: SrunLauncher
    overrides: "-c 4"
  account:
  walltime: "00:10:00"
""")
    assert warnings == []
    assert isinstance(settings, HtexSettings)
    assert settings.address == {"type": "address_by_interface", "ifname": "bond0"}
    assert settings.provider["launcher"] == {"type": "SrunLauncher", "overrides": "-c 4"}
    assert settings.job_status_kwargs == {"max_idletime": 300, "strategy_period": 120}


def test_a_strategy_of_before_version_3_is_scaling_now():
    settings, warnings = engine("""
type: GlobusComputeEngine
strategy:
  type: SimpleStrategy
  max_idletime: 300
  interval: 10
  threshold: 20
""")
    assert settings.strategy is None
    assert settings.job_status_kwargs == {"strategy": "simple", "max_idletime": 300.0, "strategy_period": 10.0}
    [warning] = warnings
    assert "t.j2, line 7 (rendered line 7, 'threshold: 20'): engine.strategy.threshold has no effect here" in warning
    both, _ = engine("type: GlobusComputeEngine\nstrategy: {type: SimpleStrategy}\njob_status_kwargs: {strategy: none}")
    assert both.job_status_kwargs == {"strategy": "none"}, "the newer way of writing counts"
    assert "line 3" in refusal("type: GlobusComputeEngine\nstrategy: {max_idletime: -1}")


def test_the_keys_of_an_executor_block_count_as_if_they_stood_outside():
    settings, warnings = engine("""
type: GlobusComputeEngine
executor:
  type: HighThroughputExecutor
  max_workers_per_node: 3
  provider: {type: LocalProvider}
""")
    assert warnings == []
    assert (settings.max_workers_per_node, settings.provider) == (3, {"type": "LocalProvider"})
    mpi, _ = engine("type: GlobusMPIEngine\nexecutor: {type: MPIExecutor, mpi_launcher: srun}")
    assert isinstance(mpi, MpiSettings)
    assert mpi.mpi_launcher == "srun"
    made = rendered("engine:\n  type: GlobusComputeEngine\n  executor:\n    provider:\n      type: LocalProvder\n")
    assert made.places["engine.provider.type"].startswith("t.j2, line 5"), "what only Parsl knows is told with its line"
    assert 'engine.executor.type "FluxExecutor" is none of' in refusal(
        "type: GlobusComputeEngine\nexecutor: {type: FluxExecutor}"
    )
    assert "engine.executor.label is also set in engine.label" in refusal(
        "type: GlobusComputeEngine\nlabel: x\nexecutor: {label: y}"
    )


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("storage_access: [{type: HTTPInTaskStaging}]", "Parsl moves no files here"),
        ("manager_selector: {type: RandomManagerSelector}", "whoever has the most room"),
        ("launch_cmd: process_worker_pool.py", "the endpoint knows"),
        ("endpoint_id: x", "the service says it"),
        ("block_error_handler: parsl.jobs.error_handlers.simple_error_handler", "counts as true"),
    ],
)
def test_keys_that_cannot_mean_anything_here_are_named_with_what_holds_instead(key, why):
    settings, [warning] = engine(f"type: GlobusComputeEngine\n{key}")
    assert warning.startswith("t.j2, line 3 ")
    assert why in warning
    assert settings == HtexSettings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("type: HighThroughputEngine", "it has become GlobusComputeEngine"),
        ("type: GlobusComputeEngine\nmax_workers: 3", "write max_workers_per_node"),
        ("type: GlobusComputeEngine\nmpi_launcher: srun", "it belongs to GlobusMPIEngine"),
        ("type: GlobusComputeEngine\nenable_mpi_mode: true", "choose the type GlobusMPIEngine"),
        ("type: GlobusComputeEngine\nexecutor: 3", "engine.executor should be a block of keys, and is 3"),
    ],
)
def test_what_published_endpoints_refuse_too_is_refused_with_what_to_write(text, said):
    assert said in refusal(text)


def test_options_of_concurrent_futures_are_honoured():
    settings, warnings = engine("type: ProcessPoolEngine\nmax_workers: 2\nmax_tasks_per_child: 5\nmp_context: spawn")
    assert settings == ProcessPoolSettings(max_workers=2, max_tasks_per_child=5)
    assert "engine.mp_context has no effect here: workers are always processes of their own" in warnings[0]
    settings, warnings = engine("type: ThreadPoolEngine\nthread_name_prefix: mine\ninitializer: x")
    assert settings == ThreadPoolSettings(thread_name_prefix="mine")
    assert "belongs in endpoint_setup or in the provider's worker_init" in warnings[0]
    assert "belongs to ProcessPoolEngine" in refusal("type: ThreadPoolEngine\nmax_tasks_per_child: 5")


def thread_name():
    import threading

    return threading.current_thread().name


@pytest.mark.anyio
async def test_options_of_concurrent_futures_reach_their_engines(tmp_path):
    settings = ProcessPoolSettings(max_workers=1, max_tasks_per_child=1)
    async with running(assemble.engine(settings, tmp_path)) as made:
        pids = [value_of(await made.submit(packed_job(os.getpid))) for _ in range(3)]
        assert len(set(pids)) == 3
    async with running(assemble.engine(ThreadPoolSettings(thread_name_prefix="mine"), tmp_path)) as made:
        assert value_of(await made.submit(packed_job(thread_name))).startswith("mine-")


# the manager's file


def config(text):
    return manager_settings(marked.parse(text, "config.yaml"))


def test_a_service_of_ones_own_is_where_it_is_published():
    assert config("local_compute_services: true\n")[0].service_url == "http://localhost:5000"
    assert (
        config("local_compute_services: true\nservice_url: https://x.example\n")[0].service_url == "https://x.example"
    )
    assert config("local_compute_services: false\n")[0].service_url is None


def test_old_keys_are_named_with_what_holds_instead_and_unset_ones_are_not():
    settings, warnings = config(f"""
detach_endpoint: true
environment: dev
paths: {{endpoint_log: /var/log/x}}
subscription_id: {ID}
multi_user: null
stdout:
""")
    assert settings.service_url is None
    assert len(warnings) == 4
    assert "`afield endpoint start --detach` runs it in the background" in warnings[0]
    assert "service_url says" in warnings[1]
    assert "log_dir says" in warnings[2]


def test_a_file_that_is_all_of_an_old_endpoint_is_told_what_to_do():
    with pytest.raises(ConfigurationError) as caught:
        config("idle_heartbeats_soft: 5\nengine:\n  type: GlobusComputeEngine\nendpoint_setup: true\n")
    said = str(caught.value)
    assert "config.yaml, line 2: an engine block belongs in the template" in said
    assert "move it there with idle_heartbeats_soft, endpoint_setup, or have" in said
    assert "migrate-to-template-capable" in said


def test_a_heartbeat_that_is_too_quick_is_slowed_down():
    settings, warnings = config("heartbeat_period: 2\n")
    assert settings.heartbeat_period == 5
    assert warnings == ["config.yaml, line 1: heartbeat_period is 5: 2 s would be a burden to the service"]
    made = rendered("heartbeat_period: 0.5\n")
    assert (made.settings.heartbeat_period, len(made.warnings)) == (5, 1)


def test_a_program_that_would_be_the_configuration_is_not_read_and_that_is_told(tmp_path):
    mine = EndpointDirectory("mine", tmp_path)
    mine.config.write_text("debug: true\n")
    (tmp_path / "config.py").write_text("config = Config(executors=[])\n")
    settings, [warning] = read_settings(mine)
    assert settings.debug
    assert "config.py is not read" in warning


# templates


def test_what_the_machine_says_can_stand_in_a_path_and_what_people_say_cannot_break_out():
    text = """
display_name: {{ _GC.mapped_identity.local.uname }} of {{ _GC.parent_config.display_name }}
engine:
  type: ProcessPoolEngine
  working_dir: "{{ _GC.mapped_identity.local.dir }}/{{ _GC.env.SITE }}"
  max_workers: {{ 2 if mapped_identity.local.uname == "ada" else 1 }}
debug: {{ "true" if _GC.user_runtime.python.version == '"3.11.7"' else "false" }}
"""
    source = Template(text, Path("/nowhere/t.j2"))
    settings = render(
        source, {}, parent_config={"display_name": "X"}, user_runtime=RUNTIME, mapped_identity=ACCOUNT,
        environment={"SITE": "scratch"},
    ).settings  # fmt: skip
    assert settings.display_name == "ada of X"
    assert settings.engine == ProcessPoolSettings(working_dir="/home/ada/scratch", max_workers=2)
    assert settings.debug


def test_an_option_that_is_null_leaves_its_key_unset():
    assert rendered("engine:\n  max_workers: {{ n }}\n", {"n": None}).settings.engine == ProcessPoolSettings()


def test_what_is_no_text_passes_shell_escape_as_it_is():
    settings = rendered("endpoint_setup: {{ a | shell_escape }}\nidle_heartbeats_soft: {{ n | shell_escape }}\n",
                        {"a": "x; y", "n": 3}).settings  # fmt: skip
    assert (settings.endpoint_setup, settings.idle_heartbeats_soft) == ("'x; y'", 3)


@pytest.mark.parametrize("name", ["_GC", "parent_config", "user_runtime", "mapped_identity"])
def test_reserved_names_cannot_be_given(name):
    with pytest.raises(ConfigurationError, match=f"the option {name} is set by the endpoint"):
        rendered("debug: true", {name: {"local": {"uname": "root"}}})


def test_templates_build_on_each_other(tmp_path):
    (tmp_path / "base.j2").write_text("{% block engine %}{% endblock %}\n{% include 'idle.j2' %}\n")
    (tmp_path / "idle.j2").write_text("idle_heartbeats_soft: {{ idle | default(7) }}\n")
    (tmp_path / "parts.j2").write_text(
        "{% macro workers(n) %}{type: ProcessPoolEngine, max_workers: {{ n }}}{% endmacro %}"
    )
    text = (
        "{% extends 'base.j2' %}{% from 'parts.j2' import workers %}"
        "{% block engine %}engine: {{ workers(4) }}{% endblock %}"
    )
    settings = rendered(text, directory=tmp_path).settings
    assert (settings.engine, settings.idle_heartbeats_soft) == (ProcessPoolSettings(max_workers=4), 7)
    (tmp_path / "idle.j2").write_text("\nidle_heartbeats_soft: {{ 1 // 0 }}\n")
    with pytest.raises(ConfigurationError, match=r"idle\.j2, line 2 cannot be rendered"):
        rendered(text, directory=tmp_path)


def test_a_template_of_an_earlier_version_is_found(tmp_path):
    mine = EndpointDirectory("mine", tmp_path)
    mine.config.write_text("")
    (tmp_path / "user_config_template.yaml").write_text("engine: {type: ThreadPoolEngine}\n")
    template = read_template(mine, read_settings(mine)[0])
    assert render(template, {}, parent_config={}, user_runtime={}, mapped_identity={}).settings.engine.type == (
        "ThreadPoolEngine"
    )


# what the published command writes


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The directories of endpoints that the published command configured."""
    if not PUBLISHED:
        pytest.skip("AFIELD_TEST_PUBLISHED_PYTHON names no Python that has the published endpoint")
    home = tmp_path_factory.mktemp("published")
    command = Path(PUBLISHED).with_name("globus-compute-endpoint")
    environment = os.environ | {"GLOBUS_COMPUTE_USER_DIR": str(home), "HOME": str(home)}
    for name, *flags in (
        ("single", "--multi-user", "false"),
        ("many", "--multi-user", "true", "--contact-email", "ada@example.org", "--display-name", "Größe 1"),
        ("policy", "--multi-user", "false", "--auth-policy", ID, "--subscription-id", ID),
    ):
        subprocess.run([command, "configure", name, *flags], env=environment, check=True, capture_output=True,
                       timeout=60)  # fmt: skip
    return home


@pytest.mark.parametrize("name", ["single", "many", "policy"])
def test_what_the_published_command_writes_is_read_as_it_is(written, name):
    mine = EndpointDirectory(name, written / name)
    settings, warnings = read_settings(mine)
    told = {"policy": ["subscription_id has no effect here: nothing here needs a subscription"]}
    assert [warning.split(": ", 1)[1] for warning in warnings] == told.get(name, [])
    assert settings.display_name == ("Größe 1" if name == "many" else None)
    assert settings.authentication_policy == (ID if name == "policy" else None)
    assert (settings.email, settings.public) == (("ada@example.org", True) if name == "many" else (None, False))
    assert read_environment(mine) == {}
    template = read_template(mine, settings)
    reserved = {"parent_config": {}, "mapped_identity": ACCOUNT}
    plain = render(template, {}, user_runtime={}, **reserved)
    assert plain.warnings == []
    assert isinstance(plain.settings.engine, HtexSettings)
    assert plain.settings.engine.provider["worker_init"] == ""
    asked = render(
        template, {"worker_init": "echo hello", "requirements": "numpy\n"}, user_runtime=RUNTIME, **reserved
    ).settings
    assert "uv venv" in asked.engine.provider["worker_init"]
    assert "numpy" in asked.engine.provider["worker_init"]
    with pytest.raises(ConfigurationError, match="the option endpoint_setup does not fit this endpoint"):
        render(template, {"endpoint_setup": 3}, user_runtime={}, **reserved)
