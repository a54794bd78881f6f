"""The cluster that other tests run on is a Slurm like any other, and leaves nothing behind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from afield.errors import ConfigurationError
from afield.testing.slurm_cluster import slurm_cluster


def fifo(tmp_path):
    """A file that blocks its reader until a job has written to it."""
    place = tmp_path / "said"
    os.mkfifo(place)
    return place


def test_a_job_runs_and_knows_its_node(cluster, tmp_path):
    said = fifo(tmp_path)
    job = cluster.run(
        "sbatch", "--parsable", "--output=/dev/null", "--nodelist=n2", f"--wrap=echo $SLURMD_NODENAME >{said}"
    )
    assert said.read_text() == "n2\n"
    assert "JobState=" in cluster.run("scontrol", "show", "job", job.strip())


def test_a_job_is_cancelled(cluster, tmp_path):
    said = fifo(tmp_path)
    job = cluster.run("sbatch", "--parsable", "--output=/dev/null", f"--wrap=echo $$ >{said}; exec sleep 100").strip()
    pid = int(said.read_text())
    assert cluster.jobs() == {job: "RUNNING"}
    cluster.cancel_all()
    assert cluster.jobs() == {}
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_no_job_begins_on_a_drained_node(cluster, tmp_path):
    said = fifo(tmp_path)
    cluster.drain("n1")
    for _ in range(2):
        cluster.run("sbatch", "--exclusive", "--output=/dev/null", f"--wrap=echo $SLURMD_NODENAME >{said}")
        assert said.read_text() == "n2\n"


def test_what_slurm_refuses_is_told(cluster):
    with pytest.raises(ConfigurationError, match="invalid partition"):
        cluster.run("sbatch", "--partition=nowhere", "--wrap=true")


def test_nothing_of_a_cluster_is_left(whole_cluster):
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:
        said = fifo(Path(name))
        with slurm_cluster(Path(name), nodes=1) as cluster:
            cluster.run("sbatch", "--output=/dev/null", f"--wrap=echo $$ >{said}; exec sleep 100")
            job = int(said.read_text())
            daemons = [process.pid for process in cluster._processes.values()]
        for pid in (job, *daemons):
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
