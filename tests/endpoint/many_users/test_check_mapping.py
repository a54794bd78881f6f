"""``afield endpoint check-mapping``, and what a registration says of an endpoint that maps."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from typer.testing import CliRunner

from afield.endpoint import assemble
from afield.endpoint.cli import app
from afield.endpoint.host.registration import registration
from afield.endpoint.manager.owner import read_settings
from afield.endpoint.manager.tenancy import maps_identities
from afield.endpoint.settings import LendingSettings, ManagerSettings
from afield.errors import ConfigurationError

TEAM = "0192d3a0-0000-7000-8000-0000000000cc"


@pytest.fixture
def check(mine, monkeypatch):
    """Runs the command; what it printed, or its complaint."""
    user_dir = mine.path.parent / f"{mine.path.name}-user"
    (user_dir / "endpoints").mkdir(parents=True)
    (user_dir / "endpoints" / "mine").symlink_to(mine.path)
    monkeypatch.setenv("AFIELD_USER_DIR", str(user_dir))

    def run(*arguments):
        done = CliRunner().invoke(app, ["check-mapping", "mine", *arguments])
        return f"{done.output} {done.exception}"

    return run


def test_who_somebody_would_be(check, mine, ada, tmp_path):
    assert "can be used" in check()
    said = check("--username", f"{ada.pw_name}@example.org")
    assert f"would be {ada.pw_name} (uid {ada.pw_uid}, home {ada.pw_dir}), by document 1" in said
    assert "no account belongs to ada@elsewhere.org" in check("-u", "ada@elsewhere.org")
    assert "which is root" in check("-u", "root@example.org")
    assert "there is no account" in check("-u", "nobody-of-that-name@example.org")
    file = tmp_path / "identities.json"
    file.write_text(json.dumps([{"username": "x"}, {"username": f"{ada.pw_name}@example.org"}]))
    assert f"would be {ada.pw_name}" in check("--identities", str(file))
    file.write_text("{}")
    assert "should hold a list" in check("--identities", str(file))


def test_what_is_wrong_is_told(check, mine, many):
    many.write_rules(mine, "[{")
    assert "mapping.json, line 1: this is not JSON" in check()
    many.map_by(mine, {"source": "{username}", "match": "((a*)*)*b", "output": "x"})
    assert "mapping.json: document 1, mapping 1: match" in check()
    mine.config.write_text("display_name: x\n")
    assert "maps nobody" in check()


def test_a_registration_says_that_many_users_are_served_only_then(mine):
    settings, _ = read_settings(mine)
    assert maps_identities(settings)
    assert registration(mine, settings, "", None, multi_user=True).multi_user
    asked = registration(mine, ManagerSettings(lending=LendingSettings(groups=(TEAM,))), "", None)
    assert asked.metadata["afield_groups"] == [TEAM]
    plain = registration(mine, ManagerSettings(), "", None)
    assert not plain.multi_user
    assert "afield_groups" not in plain.metadata


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("identity_mapping_config_path: mapping.json\n", "email has to say whom people may ask"),
        ("email: a@b.c\nidentity_mapping_config_path: gone.json\n", "gone.json, the identity mapping, cannot be read"),
        ("lending: {time_zone: Nowhere/Land}\n", "lending.time_zone is Nowhere/Land"),
    ],
)
async def test_what_is_wrong_is_told_before_anything_is_registered(mine, config, told):
    mine.config.write_text(config)
    settings, _ = read_settings(mine)
    with pytest.raises(ConfigurationError) as caught:
        await assemble.manager(mine, settings, service_url="http://127.0.0.1:9", token="x")
    assert told in str(caught.value)


@pytest.mark.anyio
async def test_files_that_others_may_change_decide_nothing(mine, ada):
    settings, _ = read_settings(mine)
    os.chown(mine.template, ada.pw_uid, -1)
    with pytest.raises(ConfigurationError, match="can be changed by others than root"):
        await assemble.manager(mine, settings, service_url="http://127.0.0.1:9", token="x")


def test_who_is_not_root_serves_only_its_owner(mine, python, ada):
    """The mapping is ignored there, and that is said, as published."""
    mine.path.chmod(0o755)
    text = """
import logging, sys, time
logging.basicConfig(stream=sys.stdout)
from pathlib import Path
from afield.endpoint.host.directory import EndpointDirectory
from afield.endpoint.manager.owner import read_settings
from afield.endpoint.manager.tenancy import Tenancy
mine = EndpointDirectory("mine", Path(sys.argv[1]))
print(Tenancy.of(mine, read_settings(mine)[0], "", time.time))
"""

    done = subprocess.run(
        [python, "-I", "-c", text, str(mine.path)], user=ada.pw_uid, group=ada.pw_gid, extra_groups=[], cwd="/", env={},
        capture_output=True, text=True,
    )  # fmt: skip
    assert "identity_mapping_config_path is ignored, because this is not root" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "None"
