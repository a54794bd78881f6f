"""An administrator's endpoint, which is root's: people run their tasks as themselves. Needs to be root, on Linux."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.endpoint.many_users.conftest import (  # noqa: F401 - fixtures
    NEEDS_ROOT,
    ada,
    bob,
    can_make_accounts,
    guardian,
    make_account,
    public_place,
    python,
)
from tests.interop.endpoints import Endpoint, Files
from tests.interop.port import PYTHON

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not can_make_accounts(), reason=NEEDS_ROOT),
]

TEMPLATE = "engine:\n  type: ThreadPoolEngine\nheartbeat_period: 5\n"
LOOK = """
    def look():
        import os
        return [os.getuid(), os.path.expanduser("~")]
    ex = Executor(endpoint)
    said(outcome(ex.submit(look)))
    os._exit(0)
"""
#: Beside an interpreter that everybody may execute, their command.
COMMAND = """\
#!{python}
import sys
from globus_compute_endpoint.cli import cli_run
sys.exit(cli_run())
"""


@pytest.fixture(scope="module")
def their_command(public_place, ada):  # noqa: F811
    """Their command, with an interpreter that every account may execute, which the one of these tests need not be."""
    ask = "import sys, sysconfig; print('python%d.%d' % sys.version_info[:2], sysconfig.get_path('purelib'))"
    version, packages = subprocess.run([PYTHON, "-c", ask], check=True, capture_output=True, text=True).stdout.split()
    place = public_place / "theirs"
    base = Path("/usr/bin", version)
    if not base.exists():
        pytest.skip(f"no {base}, which other accounts could execute")
    subprocess.run([base, "-m", "venv", "--without-pip", place], check=True, capture_output=True)
    (place / "lib" / version / "site-packages" / "published.pth").write_text(f"{packages}\n")
    command = place / "bin" / "globus-compute-endpoint"
    command.write_text(COMMAND.format(python=place / "bin" / "python"))
    command.chmod(0o755)
    tried = subprocess.run([command, "version"], user=ada.pw_uid, group=ada.pw_gid, cwd="/", env={"HOME": ada.pw_dir},
                           capture_output=True, text=True)  # fmt: skip
    if tried.returncode:
        pytest.skip(f"other accounts may not run the published packages from where they are: {tried.stderr[-300:]}")
    return command


class Shared(Endpoint):
    """One that is root's, and lets accounts be."""

    command: tuple[str, ...] = ()

    def _command(self, *arguments):
        more = ()
        if self.whose == "theirs" and arguments[0] == "configure":  # It asks for these beside what says them already.
            more = ("--contact-email", "root@example.org", "--id-mapping-config", str(self.place / "mapping.json"))
        return [*self.command, *arguments, *more]

    def environment(self):
        return super().environment() | {"PATH": f"{Path(self.command[0]).parent}:/usr/bin:/bin"}


def test_people_run_as_themselves(deployment, whose_endpoint, request, public_place, ada, bob):  # noqa: F811
    """two accounts of one machine: an endpoint of root's runs tasks as whoever sent them; who has none there is told"""
    whose = whose_endpoint
    people = [deployment.make_client(name) for name in ("ada", "bob", "eve")]
    place = public_place / f"{whose}-{deployment.kind}"
    place.mkdir()
    (place / "mapping.json").write_text(json.dumps([{
        "DATA_TYPE": "expression_identity_mapping#1.0.0",
        "mappings": [
            {"source": "{id}", "match": client_id, "output": account.pw_name}
            for (client_id, _), account in zip(people, (ada, bob), strict=False)
        ],
    }]))  # fmt: skip
    manager = (
        f"identity_mapping_config_path: {place}/mapping.json\nemail: root@example.org\npublic: true\n"
        "heartbeat_period: 5\n"
    )
    one = Shared(whose, "cluster", place, deployment.credentials, Files(manager, TEMPLATE))
    if whose == "ours":
        one.command = (request.getfixturevalue("python"), "-m", "afield.endpoint.cli")
    else:
        one.command = (str(request.getfixturevalue("their_command")),)
    one.configure()
    if whose == "theirs":  # It forgets its environment for each of them.
        (one.directory / "user_environment.yaml").write_text(f"PATH: {one.environment()['PATH']}\n")
    one.start()
    try:
        said = [
            deployment.scripts(kind, person).run(LOOK, ENDPOINT=one.id)[0]
            for person, kind in zip(people, ("ours", "theirs", "theirs"), strict=True)
        ]
        assert said[:2] == [[account.pw_uid, account.pw_dir] for account in (ada, bob)], said
        assert "422" in said[2]
        assert "no account on this machine" in said[2] or "failed to map to a local user" in said[2]
    finally:
        status = one.stop()
    assert status == 0
