"""MPI programs from a user's script to ranks and back: a template with GlobusMPIEngine, and MPIFunction."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("parsl", reason="Parsl is not installed: pip install 'afield[parsl]'")
pytest.importorskip("mpi4py", reason="mpi4py is not installed")
BIN = Path(sys.executable).parent
if shutil.which("mpiexec", path=str(BIN)) is None:
    pytest.skip("no mpiexec beside this Python: pip install mpich", allow_module_level=True)

TEMPLATE = """\
engine:
  type: GlobusMPIEngine
  mpi_launcher: mpiexec
  max_workers_per_block: 2
  address: {type: address_by_interface, ifname: lo}
  provider:
    type: LocalProvider
    min_blocks: 0
    init_blocks: 1
    max_blocks: 1
    nodes_per_block: 2
    worker_init: export HYDRA_LAUNCHER=fork PBS_NODEFILE=@NODES@ PATH=@BIN@:$PATH
    launcher: {type: SimpleLauncher}
"""

SCRIPT = """
from afield import Executor, MPIFunction

count = MPIFunction("@PYTHON@ @PROGRAM@ {word}")

def prefix():
    import os
    return os.environ["PARSL_MPI_PREFIX"].split(" -hosts ")[0]

def refused(future):
    print(type(error := future.exception(60)).__name__, str(error).split(",")[0].split(" ", 2)[2])

with Executor(resource_specification={"num_nodes": 2, "ranks_per_node": 2}) as ex:
    result = ex.submit(count, word="it's").result(100)
    print(result.returncode, result.stdout.strip())
    print(ex.options(resource_specification={"num_nodes": 1}).submit(prefix).result(60))
    ex.resource_specification = {"num_nodes": 2, "num_ranks": 2}
    print(ex.submit(prefix).result(60))
    refused(ex.options(resource_specification={"num_nodes": 5}).submit(prefix))
    refused(ex.options(resource_specification=None).submit(prefix))
"""

PROGRAM = """
import sys
from mpi4py import MPI
total = MPI.COMM_WORLD.reduce(MPI.COMM_WORLD.rank)
if not MPI.COMM_WORLD.rank:
    print(sys.argv[1], MPI.COMM_WORLD.size, total)
"""


def test_mpi_functions(fresh):
    up = fresh()
    home = up.data_dir / "endpoint"
    (home / "user_config_schema.json").unlink(missing_ok=True)
    (home / "nodes").write_text("n1\nn2\n")
    (home / "count.py").write_text(PROGRAM)
    filled = {"@NODES@": home / "nodes", "@BIN@": BIN, "@PYTHON@": sys.executable, "@PROGRAM@": home / "count.py"}
    template, script = TEMPLATE, SCRIPT
    for mark, value in filled.items():
        template, script = (text.replace(mark, str(value)) for text in (template, script))
    (home / "user_config_template.yaml.j2").write_text(template)
    out = up.script(script).split("\n")
    assert out[:3] == ["0 it's 4 6", "mpiexec -n 1 -ppn 1", "mpiexec -n 2 -ppn 1"]
    assert "5 nodes" in out[3]
    assert "no resource_specification" in out[4]
