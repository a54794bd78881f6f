"""The published packages themselves log in here, by a code that is pasted: SDK, and the command line of the endpoint.

Needs globus-compute-sdk and globus-compute-endpoint in the interpreter that AFIELD_TEST_PUBLISHED_PYTHON names.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from asyncio.subprocess import PIPE
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

pytestmark = pytest.mark.anyio

PYTHON = os.environ.get("AFIELD_TEST_PUBLISHED_PYTHON", "")

if not PYTHON:
    pytest.skip(
        "AFIELD_TEST_PUBLISHED_PYTHON names no interpreter with the published packages", allow_module_level=True
    )

SCRIPT = """
from globus_compute_sdk.sdk.auth.auth_client import ComputeAuthClient
from globus_compute_sdk.sdk.auth.globus_app import get_globus_app
from globus_sdk import ComputeClientV2
app = get_globus_app()
app.add_scope_requirements({"funcx_service": ComputeClientV2.scopes.all})
auth = ComputeAuthClient(app=app)
app.login()
print("TOKEN", app.get_authorizer("funcx_service").get_authorization_header(), flush=True)
print("SUB", auth.userinfo()["sub"], flush=True)
"""


def environment(site, place: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GLOBUS_", "AFIELD_"))}
    return kept | {
        "GLOBUS_SDK_ENVIRONMENT": "local",
        "GLOBUS_SDK_SERVICE_URL_AUTH": f"{site.url}/",
        "GLOBUS_COMPUTE_USER_DIR": str(place),
        "HOME": str(place),
        "PYTHONWARNINGS": "ignore",
        "PYTHONUNBUFFERED": "1",
        **more,
    }


async def run(site, place: Path, *command: str, **more: str) -> tuple[str, int]:
    """Run it; where it shows a link, follow that, and paste the code. What it printed after, and how many links."""
    process = await asyncio.create_subprocess_exec(
        *command, env=environment(site, place, **more), cwd=place, stdin=PIPE, stdout=PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said, links = [], 0
    while line := (await process.stdout.readline()).decode():
        if line.strip().startswith(site.url):
            links += 1
            process.stdin.write((await code_of(site, line.strip()) + "\n").encode())
            await process.stdin.drain()
        else:
            said.append(line)
    assert await process.wait() == 0, "".join(said)
    return "".join(said), links


async def code_of(site, link: str) -> str:
    person = site.person()
    await person.get(link.removeprefix(site.url))
    await person.log_in()
    page = await person.submit(decision="allow")
    return parse_qs(urlsplit(str(page.url)).query)["code"][0]


async def test_the_sdk_logs_in_once_and_its_token_is_good(site, tmp_path):
    said, links = await run(site, tmp_path, PYTHON, "-c", SCRIPT)
    token = said.partition("TOKEN Bearer ")[2].split()[0]
    assert (await site.get("/v2/endpoints", token)).status_code == 200
    ada = await site.store.people.account("ada")
    assert f"SUB {ada.identity_id}" in said
    assert links == 1
    again, links = await run(
        site, tmp_path, PYTHON, "-c", SCRIPT.replace("app.login()", "assert not app.login_required()")
    )
    assert links == 0
    assert ada.identity_id in again


async def test_the_command_line_of_the_endpoint_logs_in_and_says_who(site, tmp_path):
    command = str(Path(PYTHON).with_name("globus-compute-endpoint"))
    _, links = await run(site, tmp_path, command, "login")
    assert links == 1
    said, links = await run(site, tmp_path, command, "whoami")
    assert links == 0
    for word in ("ada", "Ada", "ada@example.org"):
        assert word in said
    await run(site, tmp_path, command, "logout")


async def test_a_program_with_a_secret_needs_no_person(site, tmp_path):
    client = await site.client()
    script = SCRIPT.replace("app.login()", "")
    secret = {"GLOBUS_COMPUTE_CLIENT_ID": client.id, "GLOBUS_COMPUTE_CLIENT_SECRET": site.secret}
    said, links = await run(site, tmp_path, PYTHON, "-c", script, **secret)
    assert links == 0
    assert f"SUB {client.id}" in said
