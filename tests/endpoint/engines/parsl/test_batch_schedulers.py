"""PBS Pro and LSF by stand-ins for their commands; and what the providers for other schedulers would submit."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec

import pytest

from afield.endpoint.settings.engines import HtexSettings
from afield.errors import ConfigurationError, NoWorkers
from afield.testing.batch_commands import end_jobs, install_commands, jobs_of
from afield.testing.jobs import echo, packed_job, value_of

pytest.importorskip("parsl", reason="Parsl is not installed: pip install 'afield[parsl]'")

pytestmark = pytest.mark.anyio

PATIENCE_S = 60

PBS = {"type": "PBSProProvider", "queue": "debug", "account": "physics", "walltime": "00:05:00", "cpus_per_node": 4}
LSF = {"type": "LSFProvider", "queue": "normal", "project": "physics", "walltime": "00:05:00"}

BROKEN = {"worker_init": "echo the module is gone >&2; exit 3"}


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Where the stand-ins keep their jobs."""
    place = tmp_path / "scheduler"
    for name, value in install_commands(place).items():
        monkeypatch.setenv(name, value)
    yield place
    end_jobs(place)


@asynccontextmanager
async def running(directory, provider, **keys):
    from afield.endpoint.engines.parsl.engine import HtexEngine
    from afield.endpoint.engines.parsl.watch import Watch

    settings = HtexSettings(
        provider=provider | {"init_blocks": 0, "min_blocks": 0},
        address="127.0.0.1",
        max_workers_per_node=1,
        block_status_period=0.2,
        job_status_kwargs={"strategy_period": 0.2, "max_idletime": 0.5},
        **keys,
    )
    engine = HtexEngine(settings, directory, watch=Watch(settings, directory))
    await engine.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield engine
    finally:
        await engine.stop(0)


@pytest.mark.parametrize("provider", [PBS, LSF])
async def test_a_block_comes_and_goes(commands, tmp_path, provider):
    async with running(tmp_path, provider) as engine:
        assert value_of(await engine.submit(packed_job(echo, 7))) == 7
        assert engine.status().extra["provider_type"] == provider["type"]
        assert engine.status().extra["queue"] == provider["queue"]
        while list(jobs_of(commands).values()) != ["cancelled"]:
            await asyncio.sleep(0.05)  # for the stand-in, which tells nobody
    [job] = (commands / "jobs").iterdir()
    script = (job / "script").read_text()
    asked = {
        "PBSProProvider": ["#PBS -l walltime=00:05:00", "#PBS -l select=1:ncpus=4"],
        "LSFProvider": ["#BSUB -W 5", "#BSUB -P physics", "#BSUB -q normal", "#BSUB -nnodes 1"],
    }[provider["type"]]
    assert not [line for line in asked if line not in script.splitlines()]


@pytest.mark.parametrize(
    ("provider", "phase", "words"),
    [
        (PBS | BROKEN, "node", ["the module is gone", "Exit_status = 3"]),
        (LSF | BROKEN, "node", ["the module is gone", "EXIT 3"]),
        (PBS | {"queue": "nowhere"}, "queue", ["Unknown queue"]),
    ],
)  # fmt: skip
async def test_a_block_that_dies_tells_the_submitter_where(commands, tmp_path, provider, phase, words):
    async with running(tmp_path, provider, block_deaths_most=1) as engine:
        with pytest.raises(NoWorkers, match=f'in the phase "{phase}"') as raised:
            await engine.submit(packed_job(echo, 1))
        assert not [word for word in words if word not in str(raised.value)]


def test_a_job_that_slurm_has_forgotten_is_over(tmp_path, monkeypatch):
    """Not running for ever, as it was when somebody asked last; and a scheduler that is away says nothing of jobs."""
    from parsl.jobs.states import JobState, JobStatus

    from afield.endpoint.engines.parsl.classes import Maker
    from afield.endpoint.engines.parsl.mended import mend

    squeue = tmp_path / "squeue"
    monkeypatch.setenv("PATH", str(tmp_path))
    provider = Maker({}).make("engine.provider", {"type": "SlurmProvider"})
    mend(provider)
    job = {"job_id": "7", "status": JobStatus(JobState.RUNNING), "job_stdout_path": None, "job_stderr_path": None}
    provider.resources["7"] = job
    for complaint, state in (
        ("Unable to contact slurm controller (connect failure)", JobState.RUNNING),
        ("Invalid job id specified", JobState.COMPLETED),
    ):
        squeue.write_text(f"#!/bin/sh\necho 'slurm_load_jobs error: {complaint}' >&2\nexit 1\n")
        squeue.chmod(0o755)
        assert provider.status(["7"])[0].state == state


SCRIPTS = {
    "SlurmProvider": (
        {"partition": "gpu", "account": "physics", "qos": "short", "constraint": "a100", "gpus_per_node": 2,
         "nodes_per_block": 3, "walltime": "01:30:00", "scheduler_options": "#SBATCH --mail-type=END",
         "launcher": {"type": "SrunLauncher"}},
        ["#SBATCH --nodes=3", "#SBATCH --time=90", "#SBATCH --partition=gpu", "#SBATCH --account=physics",
         "#SBATCH --qos=short", "#SBATCH --constraint=a100", "#SBATCH --gpus-per-node=2", "#SBATCH --exclusive",
         "#SBATCH --mail-type=END", "srun --ntasks 3 -l"],
    ),
    "PBSProProvider": (
        {"nodes_per_block": 2, "cpus_per_node": 8, "select_options": "ngpus=4", "walltime": "01:30:00",
         "scheduler_options": "#PBS -l filesystems=home"},
        ["#PBS -l walltime=01:30:00", "#PBS -l select=2:ncpus=8:ngpus=4", "#PBS -l filesystems=home"],
    ),
    "LSFProvider": (
        {"nodes_per_block": 2, "walltime": "01:30:00", "launcher": {"type": "JsrunLauncher"}},
        ["#BSUB -W 90", "#BSUB -nnodes 2"],
    ),
    "TorqueProvider": (
        {"nodes_per_block": 2, "walltime": "01:30:00"},
        ["#PBS -l walltime=01:30:00", "#PBS -l nodes=2:ppn=1"],
    ),
    "GridEngineProvider": ({"walltime": "01:30:00"}, ["#$ -l h_rt=01:30:00"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", SCRIPTS)
def test_what_is_submitted(tmp_path, monkeypatch, kind):
    """The script of each scheduler for clusters, as its submit command would get it; here none is installed."""
    from parsl.providers.errors import SubmitException

    from afield.endpoint.engines.parsl.classes import Maker

    monkeypatch.setenv("PATH", "/nowhere")
    keys, expected = SCRIPTS[kind]
    provider = Maker({}).make("engine.provider", {"type": kind, "worker_init": "module load python", **keys})
    provider.script_dir = str(tmp_path)
    with suppress(SubmitException):  # some raise, some return nothing
        assert provider.submit("start-workers --block 0", 1, "block-0") is None
    [script] = [path for path in tmp_path.iterdir() if path.suffix not in {".stdout", ".stderr"}]
    text = script.read_text()
    assert not [one for one in [*expected, "module load python", "start-workers --block 0"] if f"\n{one}" not in text]


def test_a_provider_whose_software_is_missing_says_so():
    from afield.endpoint.engines.parsl.classes import Maker

    block = {"type": "KubernetesProvider", "image": "python:3.12", "namespace": "default"}
    if find_spec("kubernetes") is None:
        with pytest.raises(ConfigurationError, match="kubernetes"):
            Maker({}).make("engine.provider", block)
    condor = Maker({}).make("engine.provider", {"type": "CondorProvider", "walltime": "00:10:00"})
    assert condor.walltime == "00:10:00"
