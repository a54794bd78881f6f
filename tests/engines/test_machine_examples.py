"""The templates for known machines render, and hold only keys and values that Parsl takes."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from pathlib import Path

import msgspec
import pytest

from afield.endpoint.manager.template import Template, render
from afield.endpoint.settings import HtexSettings, MpiSettings

pytest.importorskip("parsl", reason="parsl is not installed")

from afield.endpoint.engines.parsl.classes import Maker
from afield.endpoint.engines.parsl.mpi_executor import make_mpi

MACHINES = Path(__file__).parents[2] / "examples" / "machines"
TEMPLATES = sorted(MACHINES.glob("*.yaml.j2"))
#: What each needs of whoever submits, if it needs it.
OPTIONS = {"account": "abc123", "project": "abc123", "image": "python.sif"}
#: Parsl makes these only beside a package of their own.
PACKAGES = {"KubernetesProvider": "kubernetes"}


def made(path: Path, **options: object):
    text = path.read_text()
    given = {name: value for name, value in OPTIONS.items() if f"{{{{ {name} " in text}
    empty = {"parent_config": {}, "user_runtime": {}, "mapped_identity": {}}
    found = render(Template(text, path), given | options, **empty)
    assert found.warnings == []
    assert isinstance(found.settings.engine, HtexSettings)
    return found.settings.engine, Maker(found.places)


def test_there_is_one_for_each_machine_of_the_list():
    listed = (MACHINES / "README.md").read_text()
    assert len(TEMPLATES) == 17
    assert all(f"({path.name})" in listed for path in TEMPLATES)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_parsl_takes_it(path):
    engine, maker = made(path)
    kind = engine.provider["type"]
    package = PACKAGES.get(kind)
    if package and importlib.util.find_spec(package) is None:
        known = inspect.signature(getattr(importlib.import_module("parsl.providers"), kind)).parameters
        assert set(engine.provider) - {"type"} <= set(known)
    else:
        provider = maker.make("engine.provider", engine.provider)
        assert provider.min_blocks == 0, "nobody pays for a machine at rest"
    if engine.address is not None:
        # The interface is on that machine, not here.
        function = getattr(importlib.import_module("parsl.addresses"), engine.address["type"])
        assert set(engine.address) - {"type"} <= set(inspect.signature(function).parameters)


def test_an_engine_for_mpi_takes_its_own(tmp_path):
    """Parsl's executor is made of it, as at a start, on a machine that has the interface."""
    path = MACHINES / "expanse-mpi.yaml.j2"
    engine, _ = made(path, nodes=3)
    assert isinstance(engine, MpiSettings)
    here = msgspec.structs.replace(engine, address="127.0.0.1")
    executor = make_mpi(here, tmp_path, {}, None)
    assert (executor.mpi_launcher, executor.max_workers_per_block, executor.provider.nodes_per_block) == ("srun", 2, 3)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_texts_stay_texts(path):
    """A time such as 00:30:00 without quotes is a number in YAML."""
    engine, _ = made(path)
    for name, value in engine.provider.items():
        number = name.endswith(("blocks", "block", "node", "slot", "cpu")) or name == "exclusive"
        assert isinstance(value, int if number else str | dict), name


def test_options_of_the_submitter_are_taken():
    engine, maker = made(MACHINES / "anvil.yaml.j2", walltime="02:00:00", partition="wholenode", nodes=2)
    provider = maker.make("engine.provider", engine.provider)
    assert (provider.walltime, provider.partition, provider.nodes_per_block) == ("02:00:00", "wholenode", 2)
