"""One Slurm for all of these tests, if it is installed here."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from afield.testing.slurm_cluster import slurm_cluster, why_no_slurm


@pytest.fixture(scope="session")
def whole_cluster():
    """Up for all tests."""
    if (why := why_no_slurm()) is not None:
        pytest.skip(why)
    directory = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        with slurm_cluster(directory, nodes=2, cpus=2) as cluster:
            yield cluster
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def cluster(whole_cluster, monkeypatch):
    """Idle, all nodes ready, and the one that this process and its children talk to."""
    for name, value in whole_cluster.environment.items():
        monkeypatch.setenv(name, value)
    yield whole_cluster
    whole_cluster.cancel_all()
    for node in whole_cluster.nodes:
        whole_cluster.resume(node)
