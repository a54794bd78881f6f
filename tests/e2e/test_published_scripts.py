"""Scripts for the published SDK, run twice: with one word of their imports changed, and as they are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import PATIENCE_S

pytestmark = pytest.mark.e2e

FOLDER = Path(__file__).parent / "published"
SCRIPTS = sorted(FOLDER.glob("*.py"))
WORD = "globus_compute_sdk"


def run(up, script: Path, way: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    place = up.user_dir / f"{script.stem}_{way}.py"
    text = script.read_text()
    place.write_text(text if way == "unchanged" else text.replace(WORD, "afield"))
    # Deprecated forms are told, and nothing but told.
    command = [sys.executable, "-W", "default::DeprecationWarning"]
    command += ["-m", "afield.compat", str(place)] if way == "unchanged" else [str(place)]
    return subprocess.run(
        [*command, up.ready["endpoint_id"], *arguments],
        env=up.environment | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def token(up) -> str:
    """What a person of this machine would find in their own files."""
    [file] = (up.user_dir / "services").glob("*.json")
    return json.loads(file.read_text())["token"]


@pytest.mark.parametrize("way", ["one_word", "unchanged"])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_script(up, script, way):
    done = run(up, script, way, COMPUTE_TOKEN=token(up))
    if script.stem == "reload_after_death":
        assert done.returncode == -signal.SIGKILL, done.stderr
        group = done.stdout.split()[-1]
        done = run(up, script, way, group)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "done"


def test_no_published_package_is_behind_this():
    found = subprocess.run([sys.executable, "-c", f"import {WORD}"], capture_output=True, text=True)
    assert "ModuleNotFoundError" in found.stderr, os.fspath(sys.executable)
