"""`afield demo`: what a newcomer sees first."""

from __future__ import annotations

import re
import sys

import pytest

pytestmark = pytest.mark.e2e


def test_demo(up, tmp_path):
    done = up.run(sys.executable, "-m", "afield", "demo", AFIELD_USER_DIR=str(tmp_path / "user"), TMPDIR=str(tmp_path))
    printed = done.stdout
    assert re.search(r"sequences +100, of 1 to 100", printed)
    assert re.search(r"all end at 1 +yes", printed)
    assert re.search(r"longest +97, after 118 steps", printed)
    for figure in ("first result", "all results", "tasks per second"):
        assert re.search(rf"{figure} +[\d.,]+", printed), figure
    assert "100/100" in printed, "the progress bar"
    assert "afield up" in printed, "what to try next"
    assert done.stderr == ""
    assert not list(tmp_path.glob("afield-demo-*")), "it leaves nothing behind"
    assert not (tmp_path / "user").exists(), "and touches nothing of the user's"
