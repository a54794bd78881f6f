"""What is done in a fork comes back, whatever becomes of it."""

from __future__ import annotations

import os
import signal
import sys

import psutil
import pytest

from afield.endpoint.host.apart import apart
from afield.errors import ComputeError, ConfigurationError

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="there it is done in this process")


def test_the_result_comes_back_and_what_was_loaded_does_not():
    def work():
        import colorsys  # nobody else here loads it

        return os.getpid(), colorsys.__name__

    sys.modules.pop("colorsys", None)
    pid, name = apart(work)
    assert pid != os.getpid()
    assert name == "colorsys"
    assert "colorsys" not in sys.modules


def test_an_error_comes_back():
    def work():
        raise ConfigurationError("config.yaml, line 3: no")

    with pytest.raises(ConfigurationError, match=r"config\.yaml, line 3: no"):
        apart(work)


def test_a_fork_that_is_killed_is_told():
    mine = set(psutil.Process().children())
    with pytest.raises(ComputeError, match=r"ended with status -9, without a word.*Start again"):
        apart(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert set(psutil.Process().children()) <= mine
