"""The published names and signatures: those of its documents, those of the package, and the page that lists them."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
from importlib import import_module
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import pytest

import afield
from afield.compat.names import NOT_TAKEN, PUBLISHED, reason

PUBLISHED_PYTHON = os.environ.get("AFIELD_TEST_PUBLISHED_PYTHON")
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "compatibility.md"

#: What the published documents say of the Executor (first generation under this name) and of the Client (today's).
DOCUMENTED = {
    "sdk.executor:Executor": """(endpoint_id=None, container_id=None, client=None, task_group_id=None,
        user_endpoint_config=None, label="", batch_size=128, funcx_client=None, amqp_port=None, **kwargs)""",
    "sdk.executor:Executor.register_function": "(self, fn, function_id=None, **func_register_kwargs)",
    "sdk.executor:Executor.submit": "(self, fn, /, *args, **kwargs)",
    "sdk.executor:Executor.submit_to_registered_function": "(self, function_id, args=None, kwargs=None)",
    "sdk.executor:Executor.map": "(self, fn, /, *iterables, timeout=None, chunksize=1)",
    "sdk.executor:Executor.reload_tasks": "(self, task_group_id=None)",
    "sdk.executor:Executor.shutdown": "(self, wait=True, *, cancel_futures=False)",
    "sdk.executor:ComputeFuture": "(task_id=None)",
    "sdk.asynchronous.compute_future:ComputeFuture": "(task_id=None)",
    "sdk.client:Client": """(environment=None, local_compute_services=False, do_version_check=True, *,
        code_serialization_strategy=None, data_serialization_strategy=None, app=None, authorizer=None, **kwargs)""",
    "sdk.client:Client.version_check": "(self, endpoint_version=None)",
    "sdk.client:Client.logout": "(self)",
    "sdk.client:Client.get_task": "(self, task_id)",
    "sdk.client:Client.get_result": "(self, task_id)",
    "sdk.client:Client.get_batch_result": "(self, task_id_list)",
    "sdk.client:Client.run": "(self, *args, endpoint_id, function_id, **kwargs)",
    "sdk.client:Client.create_batch": """(self, task_group_id=None, resource_specification=None,
        user_endpoint_config=None, create_websocket_queue=False, result_serializers=None)""",
    "sdk.client:Client.batch_run": "(self, endpoint_id, batch)",
    "sdk.client:Client.register_endpoint": """(self, name, endpoint_id, metadata=None, multi_user=None,
        display_name=None, allowed_functions=None, auth_policy=None, subscription_id=None, public=None,
        high_assurance=None, admins=None)""",
    "sdk.client:Client.get_endpoint_status": "(self, endpoint_uuid)",
    "sdk.client:Client.get_endpoint_metadata": "(self, endpoint_uuid)",
    "sdk.client:Client.get_endpoints": "(self, role=None)",
    "sdk.client:Client.register_function": """(self, function, description=None, metadata=None, public=False,
        group=None, ha_endpoint_id=None)""",
    "sdk.client:Client.register_source_code": """(self, source, function_name, description=None, metadata=None,
        public=False, group=None, ha_endpoint_id=None)""",
    "sdk.client:Client.get_function": "(self, function_id)",
    "sdk.client:Client.get_allowed_functions": "(self, endpoint_id)",
    "sdk.client:Client.stop_endpoint": "(self, endpoint_id)",
    "sdk.client:Client.delete_endpoint": "(self, endpoint_id)",
    "sdk.client:Client.delete_function": "(self, function_id)",
    "sdk.client:Client.get_worker_hardware_details": "(self, endpoint_id)",
    "sdk.batch:Batch": """(task_group_id, resource_specification=None, user_endpoint_config=None, request_queue=False,
        serializer=None, user_runtime=None, result_serializers=None)""",
    "sdk.batch:Batch.add": "(self, function_id, args=None, kwargs=None)",
    "sdk.batch:Batch.prepare": "(self)",
    "sdk.batch:UserRuntime": """(globus_compute_sdk_version, globus_sdk_version, python_version, python, platform)""",
    "sdk.batch:UserRuntime.PythonInfo": """(version, version_description, version_tuple, version_info, implementation,
        compiler)""",
    "sdk.batch:UserRuntime.PlatformInfo": "(architecture, machine, node, platform, processor, release)",
}

#: Properties and attributes of the documents; the second says whether it may be set.
ATTRIBUTES = {
    "sdk.executor:Executor.task_group_id": True,
    "sdk.executor:Executor.user_endpoint_config": True,
    "sdk.executor:Executor.container_id": True,
    "sdk.executor:Executor.amqp_port": True,
    "sdk.executor:Executor.task_count_submitted": False,
    "sdk.client:Client.session_task_group_id": False,
    "sdk.client:Client.FUNCX_SCOPE": None,
}

#: Where ours takes other arguments than the package's, and why.
OTHER_ARGUMENTS = {
    "ComputeError": "errors keep their arguments, whatever they are, so that they survive pickling",
    "DeserializationError": "likewise",
    "MaxResultSizeExceeded": "it is a failure of a task, with the remote text",
    "SerdeError": "errors keep their arguments",
    "SerializationError": "likewise",
    "TaskExecutionFailed": "task_details never travels there",
    "TaskPending": "what it says is a status",
    "VersionMismatch": "errors keep their arguments",
    "CombinedCode.deserialize": "variation= picks one of several payloads, which nobody outside needs",
    "utils.unpack_buffers": "its one argument comes by position",
    "Executor": "the documents of the two generations differ; a client that comes second is recognised",
}


def ours(place: str) -> Any:
    """What ``afield.compat`` answers for a published name, ``module:path``."""
    module, _, path = place.partition(":")
    name, *rest = path.split(".")
    home, _, inner = PUBLISHED[f"globus_compute_sdk.{module}".rstrip(".")][name].partition(":")
    found: Any = import_module(home)
    for part in [*inner.split("."), *rest]:
        found = getattr(found, part)
    return found


def written(text: str) -> Signature:
    names: dict[str, Any] = {}
    exec(f"def f{text}: ...", names)
    return inspect.signature(names["f"])


def differences(wanted: Signature, given: Signature) -> list[str]:
    """Why a call that ``wanted`` allows might not mean the same to ``given``."""
    found = []
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    there = given.parameters
    for name, one in wanted.parameters.items():
        if one.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            found += [] if any(each.kind is one.kind for each in there.values()) else [f"no {one}"]
            continue
        if name not in there:
            found.append(f"no parameter {name}")
            continue
        mine = there[name]
        if one.kind in positional and mine.kind not in positional:
            found.append(f"{name} is not positional")
        if one.kind is not Parameter.POSITIONAL_ONLY and mine.kind is Parameter.POSITIONAL_ONLY:
            found.append(f"{name} cannot be given by name")
        if one.default is not Parameter.empty and mine.default != one.default:
            found.append(f"the default of {name} is {mine.default!r}, not {one.default!r}")
    order = [name for name in wanted.parameters if name in there and wanted.parameters[name].kind in positional]
    if order != [name for name in there if name in order]:
        found.append(f"other order: {list(there)}")
    found += [
        f"{name} is required"
        for name, mine in there.items()
        if name not in wanted.parameters
        and mine.default is Parameter.empty
        and mine.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    ]
    return found


@pytest.mark.parametrize("place", DOCUMENTED)
def test_documented_signatures(place):
    assert differences(written(DOCUMENTED[place]), inspect.signature(ours(place))) == []


@pytest.mark.parametrize("place", ATTRIBUTES)
def test_documented_attributes(place):
    found, settable = ours(place), ATTRIBUTES[place]
    assert settable is None or (found.fset is not None) is settable


def test_the_comparison_sees_differences():
    right = "(self, a, b=1, *, c=None)"
    assert differences(written(right), written("(self, a, b=1, new=2, *, c=None, **more)")) == []
    assert differences(written(right), written("(self, a, b=1, /, *, c=None)"))[1:] == [
        "a cannot be given by name",
        "b cannot be given by name",
    ]
    assert differences(written(right), written("(self, b=1, a=0, *, c=None)"))[0].startswith("other order")
    assert differences(written(right), written("(self, a, b=2, *, d, c=None)")) == [
        "the default of b is 2, not 1",
        "d is required",
    ]
    assert differences(written("(self, *a, **b)"), written("(self, c=1)")) == ["no *a", "no **b"]
    assert differences(written(right), written("(self, a, *, b=1, c=None)")) == ["b is not positional"]
    assert differences(written(right), written("(self, a, b=1)")) == ["no parameter c"]


# -- the package itself -----------------------------------------------------------------------------------------------

#: Run by the package's Python: all its public names as JSON, with the parameters of what can be called.
WALK = """
import importlib, inspect, json, logging, pkgutil, types, warnings
warnings.simplefilter("ignore")
import globus_compute_sdk as top

def parameters(one):
    try:
        found = inspect.signature(one)
    except (TypeError, ValueError):
        return None
    return [
        (each.name, int(each.kind), None if each.default is each.empty else repr(each.default))
        for each in found.parameters.values()
    ]

def members(kind):
    found = {}
    for name, value in vars(kind).items():
        if not name.startswith("_") and name not in ("name", "value"):
            found[name] = parameters(getattr(kind, name)) if callable(getattr(kind, name)) else None
    return found

names = {}
for module in [top.__name__, *(each.name for each in pkgutil.walk_packages(top.__path__, top.__name__ + "."))]:
    if module.rpartition(".")[2].startswith("_"):
        continue
    found = importlib.import_module(module)
    listed = getattr(found, "__all__", ())
    for name, value in vars(found).items():
        foreign = getattr(value, "__module__", module) not in (module, "typing", "types") and name not in listed
        if name.startswith("_") or foreign or isinstance(value, (types.ModuleType, logging.Logger)):
            continue
        if type(value).__name__ == "_Feature":
            continue
        names[module + "." + name] = [
            parameters(value) if callable(value) else None, members(value) if isinstance(value, type) else {}
        ]
print(json.dumps(names))
"""


@pytest.fixture(scope="module")
def package():
    if not PUBLISHED_PYTHON:
        pytest.skip("AFIELD_TEST_PUBLISHED_PYTHON names no interpreter")
    done = subprocess.run([PUBLISHED_PYTHON, "-c", WALK], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_every_name_of_the_package_is_here_or_has_a_reason(package):
    absent = []
    for full, (_, members) in package.items():
        if reason(full):
            continue
        module, _, name = full.rpartition(".")
        if name not in PUBLISHED.get(module, {}):
            absent.append(full)
            continue
        found = ours(f"{module.removeprefix('globus_compute_sdk').lstrip('.')}:{name}")
        absent += [f"{full}.{each}" for each in members if not hasattr(found, each) and not _excused(full, each)]
    assert absent == []
    assert len(package) > 100


def test_what_has_a_reason_is_not_here(package):
    """A reason that is out of date misleads."""
    known = {*package, *(f"{full}.{each}" for full, (_, members) in package.items() for each in members)}
    today = [name for name in NOT_TAKEN if name.startswith("globus_compute_sdk.") and "container" not in name]
    assert [name for name in today if not any(each == name or each.startswith(f"{name}.") for each in known)] == []
    assert [name for name in NOT_TAKEN if name.rpartition(".")[2] in PUBLISHED.get(name.rpartition(".")[0], {})] == []


def test_the_signatures_of_the_package(package):
    other = {}
    for full, (parameters, members) in package.items():
        module, _, name = full.rpartition(".")
        if reason(full):
            continue
        found = ours(f"{module.removeprefix('globus_compute_sdk').lstrip('.')}:{name}")
        for path, wanted, mine in [
            (full, parameters, found),
            *((f"{full}.{each}", wanted, getattr(found, each, None)) for each, wanted in members.items()),
        ]:
            if wanted is None or not callable(mine) or any(path.endswith(f".{one}") for one in OTHER_ARGUMENTS):
                continue
            faults = [
                fault
                for fault in differences(_signature(wanted), inspect.signature(mine))
                # Theirs is an object of theirs, or fn= as a name that ours leaves to the function's own arguments.
                if not re.search(r"<globus_compute_sdk|(self|fn) cannot be given by name", fault)
            ]
            if faults:
                other[path] = faults
    assert other == {}


def _excused(full: str, member: str) -> bool:
    """Reasons are given once, at the module that defines a class."""
    name = full.rpartition(".")[2]
    return any(each.endswith(f".{name}.{member}") for each in NOT_TAKEN)


def _signature(parameters: list[Any]) -> Signature:
    class Written:
        def __init__(self, text: str) -> None:
            self.text = text

        def __repr__(self) -> str:
            return self.text

        def __eq__(self, other: object) -> bool:
            return repr(other) == self.text

        __hash__ = None

    return Signature(
        [
            Parameter(name, kind, default=Parameter.empty if default is None else Written(default))
            for name, kind, default in (
                (name, list(inspect._ParameterKind)[kind], default) for name, kind, default in parameters
            )
        ]
    )


# -- the page ---------------------------------------------------------------------------------------------------------

STATES = ("yes", "differs", "not yet", "not taken")


def rows() -> list[tuple[str, str, str, str]]:
    """Feature, state, where, remark."""
    lines = PAGE.read_text().partition("## Names")[0].splitlines()
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if line.startswith("|")]
    return [row for row in cells if row[0] != "feature" and not row[0].startswith("-")]


def test_every_row_has_a_state_and_a_remark_where_it_needs_one():
    assert [row for row in rows() if len(row) != 4 or row[1] not in STATES] == []
    assert [row for row in rows() if row[1] != "yes" and not row[3]] == []
    # The published inventory; see docs/reference/compatibility.md for the whole of it.
    assert len(rows()) == 118


def test_what_the_page_says_is_here_is_here():
    absent = []
    for row in rows():
        for path, parameter in re.findall(r"`(afield\.[\w.]+)(?:\((\w+)=\))?`", row[2]):
            found: Any = afield
            try:
                for part in path.split(".")[1:]:
                    found = getattr(found, part, None) or import_module(f"{found.__name__}.{part}")
                if parameter:
                    inspect.signature(found).parameters[parameter]
            except (AttributeError, ImportError, KeyError):
                absent.append((row[0], path, parameter))
    assert absent == []


def test_the_page_lists_every_name():
    names = PAGE.read_text().partition("## Names")[2].splitlines()
    listed = [
        f"| `{module}` | {', '.join(f'`{name}`' for name in sorted(found)) or '(its modules)'} |"
        for module, found in PUBLISHED.items()
    ]
    listed += [f"| `{name}` | {why} |" for name, why in NOT_TAKEN.items()]
    assert [row for row in listed if row not in names] == []
    assert [row for row in names if row.startswith("| `") and row not in listed] == []
