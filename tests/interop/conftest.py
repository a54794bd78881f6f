"""The matrix: client {ours, theirs} x endpoint {ours, theirs} x deployment {embedded, production}.

A test that takes ``cell`` runs in all eight. One that takes ``deployment``, ``whose_client`` or ``whose_endpoint`` only
runs once for each of its values. Where something cannot be, a test is marked ``impossible``, with what and why.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.interop.clients import Scripts
from tests.interop.deployments import KINDS, Deployment, deployed
from tests.interop.endpoints import Endpoint
from tests.interop.environments import VERSION
from tests.interop.port import only_user_of_the_port
from tests.interop.table import Results, cells, page

#: The fixtures that span the matrix, with what each is in a cell.
AXES = ("deployment", "whose_client", "whose_endpoint")


@dataclass(frozen=True)
class Cell:
    """One of the eight: the scripts of a client, an endpoint, and the service between them."""

    deployment: Deployment
    client: Scripts
    endpoint: Endpoint

    def run(self, script: str, *arguments: str, **environment: str) -> list[Any]:
        """Run a script of this client with this endpoint's id; what it ``said``."""
        return self.client.run(script, *arguments, ENDPOINT=self.endpoint.id, **environment)


#: What a run finds out, and which cells each of its tests stands for.
_RESULTS = pytest.StashKey[Results]()
_CELLS = pytest.StashKey[dict[str, tuple[tuple[str, str], list[tuple[str, str, str]]]]]()
#: Reports do not say whose they are.
_configuration: list[pytest.Config] = []


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RESULTS] = Results()
    _configuration.append(config)
    config.addinivalue_line(
        "markers", "impossible(why, client=, endpoint=, deployment=): in these cells a scenario has no meaning"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is impossible, and let a deployment serve all its tests before the next one is started."""
    ours: list[tuple[int, pytest.Item]] = [
        (place, item) for place, item in enumerate(items) if "deployment" in _cell_of(item)
    ]
    out = [item for _, item in ours if any(_matches(mark, item) for mark in item.iter_markers("impossible"))]
    ordered = sorted((item for _, item in ours), key=lambda item: KINDS.index(_cell_of(item)["deployment"]))
    for (place, _), item in zip(ours, ordered, strict=True):
        items[place] = item
    config.stash[_CELLS] = {item.nodeid: (_key(item), cells(_cell_of(item))) for _, item in ours}
    for item in out:
        reason = next(mark.args[0] for mark in item.iter_markers("impossible") if _matches(mark, item))
        for cell in cells(_cell_of(item)):
            config.stash[_RESULTS].impossible.setdefault(_key(item), {})[cell] = reason
    if out:
        items[:] = [item for item in items if item not in out]
        config.hook.pytest_deselected(items=out)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what became of a scenario."""
    config = _configuration[-1]
    key, tried = config.stash.get(_CELLS, {}).get(report.nodeid, (("", ""), []))
    if report.failed:
        config.stash[_RESULTS].failed.setdefault(key, set()).update(tried)
    elif report.when == "call" and report.passed:
        config.stash[_RESULTS].passed.setdefault(key, set()).update(tried)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write down on the page, where one is named, what was seen."""
    if where := os.environ.get("AFIELD_TEST_INTEROP_PAGE"):
        file = Path(where)
        before = file.read_text("utf-8") if file.exists() else ""
        file.write_text(page(session.config.stash[_RESULTS], VERSION, before), "utf-8")


def _key(item: pytest.Item) -> tuple[str, str]:
    return item.path.stem, getattr(item, "originalname", item.name)


def _cell_of(item: pytest.Item) -> dict[str, str]:
    called = getattr(item, "callspec", None)
    return {} if called is None else {name: called.params[name] for name in AXES if name in called.params}


def _matches(mark: pytest.Mark, item: pytest.Item) -> bool:
    cell = _cell_of(item)
    where = {name if name == "deployment" else f"whose_{name}": value for name, value in mark.kwargs.items()}
    return all(cell.get(name) == value for name, value in where.items())


def _scope(fixture_name: str, config: pytest.Config) -> str:
    """How long one deployment runs: for all tests, unless other processes test too and wait for the port."""
    del fixture_name, config
    return "module" if "PYTEST_XDIST_WORKER" in os.environ else "session"


@pytest.fixture(scope=_scope)
def the_port() -> Iterator[None]:
    """To be the one who uses it."""
    with only_user_of_the_port():
        yield


@pytest.fixture(scope=_scope, params=KINDS)
def deployment(
    the_port: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """A service on port 5000."""
    with deployed(request.param, tmp_path_factory.mktemp("interop")) as one:
        yield one


@pytest.fixture(params=["ours", "theirs"], ids=["our-client", "their-client"])
def whose_client(request: pytest.FixtureRequest) -> str:
    """``ours`` or ``theirs``."""
    return str(request.param)


@pytest.fixture(params=["ours", "theirs"], ids=["our-endpoint", "their-endpoint"])
def whose_endpoint(request: pytest.FixtureRequest) -> str:
    """``ours`` or ``theirs``."""
    return str(request.param)


@pytest.fixture
def cell(deployment: Deployment, whose_client: str, whose_endpoint: str) -> Cell:
    """One of the eight."""
    return Cell(deployment, deployment.scripts(whose_client), deployment.endpoint(whose_endpoint))
