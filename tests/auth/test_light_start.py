"""Who needs no login waits for none: what signing in takes is loaded when somebody first signs in."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import asyncio, sys, tempfile
from pathlib import Path
from afield.service.app import Service
from afield.service.settings import Settings
async def main():
    service = Service()
    await service.start(Settings(data_dir=Path(tempfile.mkdtemp(dir=sys.argv[1])), port=0, amqp_port=0))
    print(*sys.modules)
    await service.stop()
asyncio.run(main())
"""


def test_a_start_loads_nothing_of_what_a_login_takes(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert {"joserfc", "argon2", "jinja2", "cryptography"} & loaded == set()
    ours = (
        "afield.service.auth.oauth.authorize",
        "afield.service.auth.oauth.browser",
        "afield.service.api.oauth_pages",
    )
    assert set(ours) & loaded == set()
