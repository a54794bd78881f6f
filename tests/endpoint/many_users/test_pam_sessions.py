"""User endpoints in PAM sessions, with real service files."""

from __future__ import annotations

import os
import secrets
import shutil

import psutil
import pytest

pytestmark = pytest.mark.anyio

LOOK = """
def f(setuid):
    import os, resource, subprocess
    status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines() if ":" in line)
    return {
        "ids": [os.getresuid(), os.getresgid(), sorted(os.getgroups())],
        "environment": [os.environ.get(name) for name in ("SITE", "COLOUR", "PATH", "HOME")],
        "nproc": resource.getrlimit(resource.RLIMIT_NPROC),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "capabilities": [status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")],
        "setuid": subprocess.run([setuid, "-u"], capture_output=True, text=True).stdout.strip(),
        "umask": os.umask(0o77),
    }
"""


@pytest.fixture
def diary(public_place):
    """A program for pam_exec that writes down what happens, and the file."""
    place = public_place / secrets.token_hex(4)
    place.mkdir()
    program, file = place / "note", place / "diary"
    program.write_text(f'#!/bin/sh\necho "$PAM_TYPE $PAM_USER $(id -u)" >>{file}\n')
    program.chmod(0o755)
    return program, file


@pytest.fixture
def setuid_root(public_place):
    program = public_place / f"setuid-{secrets.token_hex(4)}"
    shutil.copy("/usr/bin/id", program)
    program.chmod(0o4755)
    return program


async def test_a_user_endpoint_lives_in_a_session_that_is_closed_behind_it(
    running, many, mine, parts, ada, pam_service, diary, setuid_root
):
    program, file = diary
    (mine.path / "limits").write_text(f"{ada.pw_name} hard nproc 4000\n{ada.pw_name} soft nproc 3000\n")
    (mine.path / "env").write_text("SITE DEFAULT=here\nCOLOUR DEFAULT=red\nPATH DEFAULT=/opt/pam:/usr/bin:/bin\n")
    name = pam_service(
        "auth required pam_permit.so",
        "account required pam_unix.so",
        f"session required pam_limits.so conf={mine.path}/limits",
        f"session required pam_env.so conffile={mine.path}/env",
        f"session required pam_exec.so {program}",
    )
    mine.config.write_text(mine.config.read_text() + f"pam: {{enable: true, service_name: {name}}}\n")
    mine.environment.write_text("COLOUR: green\n")
    async with parts.over_sockets() as service:
        async with running(service):
            await service.command(
                many.CEP, many.start(service, many.identity(f"{ada.pw_name}@example.org"), max_workers=1)
            )
            await service.until(lambda: service.said_by(parts.UEP))
            assert service.said_by(parts.UEP)[0].get("active") is True, service.said_by(parts.UEP)
            assert file.read_text() == f"open_session {ada.pw_name} 0\n"
            await service.send(parts.call("t", LOOK, str(setuid_root)))
            await service.until(lambda: "t" in service.results)
        seen = parts.value(service.results["t"])
    assert seen["ids"] == [
        (ada.pw_uid,) * 3,
        (ada.pw_gid,) * 3,
        sorted(os.getgrouplist(ada.pw_name, ada.pw_gid)),
    ]
    assert seen["environment"] == ["here", "green", "/opt/pam:/usr/bin:/bin", ada.pw_dir]
    assert seen["nproc"] == (3000, 4000)
    assert seen["core"] == (0, 0)
    assert [int(mask, 16) for mask in seen["capabilities"]] == [0] * 4
    assert seen["setuid"] == "0", (
        "with PAM, the machine decides what its setuid programs give, as a scheduler's may need"
    )
    assert seen["umask"] == 0o77
    assert file.read_text() == f"open_session {ada.pw_name} 0\nclose_session {ada.pw_name} 0\n"
    assert nothing_left_of(ada)


def nothing_left_of(account):
    left = [one for one in psutil.process_iter(["uids"]) if one.info["uids"].real == account.pw_uid]
    return all(one.status() == psutil.STATUS_ZOMBIE for one in left)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            ["auth required pam_permit.so", "account required pam_deny.so", "session required pam_permit.so"],
            "acct_mgmt",
        ),
        (
            ["auth required pam_permit.so", "account required pam_permit.so", "session required pam_deny.so"],
            "open_session",
        ),
        (["auth required pam_deny.so", "account required pam_permit.so", "session required pam_permit.so"], "setcred"),
    ],
)
async def test_what_pam_refuses_does_not_start(running, many, mine, parts, ada, pam_service, lines, told):
    mine.config.write_text(mine.config.read_text() + f"pam: {{enable: true, service_name: {pam_service(*lines)}}}\n")
    async with parts.over_sockets() as service, running(service):
        await service.command(many.CEP, many.start(service, many.identity(f"{ada.pw_name}@example.org")))
        await service.until(lambda: service.said_by(parts.UEP))
        error = service.said_by(parts.UEP)[0]["error"]
    assert f"this machine does not let {ada.pw_name} in: PAM service" in error
    assert told in error


async def test_an_account_that_has_expired_is_for_pam_to_refuse(running, many, mine, parts, make_account, pam_service):
    gone = make_account("--expiredate", "2001-01-01")
    name = pam_service("auth required pam_permit.so", "account required pam_unix.so", "session required pam_permit.so")
    mine.config.write_text(mine.config.read_text() + f"pam: {{enable: true, service_name: {name}}}\n")
    async with parts.over_sockets() as service, running(service):
        await service.command(many.CEP, many.start(service, many.identity(f"{gone.pw_name}@example.org")))
        await service.until(lambda: service.said_by(parts.UEP))
        assert "expired" in service.said_by(parts.UEP)[0]["error"]


async def test_a_session_is_closed_also_for_one_that_is_killed(running, many, mine, parts, ada, pam_service, diary):
    program, file = diary
    name = pam_service(
        "auth required pam_permit.so", "account required pam_permit.so", f"session required pam_exec.so {program}"
    )
    mine.config.write_text(mine.config.read_text() + f"pam: {{enable: true, service_name: {name}}}\n")
    async with parts.over_sockets() as service, running(service) as manager:
        ask = many.start(service, many.identity(f"{ada.pw_name}@example.org"), max_workers=1)
        await service.command(many.CEP, ask)
        await service.until(lambda: service.said_by(parts.UEP))
        [child] = manager._children.values()
        child.kill()
        await service.until(lambda: len(service.said_by(parts.UEP)) > 1)  # it is told, or lives again
    assert file.read_text().splitlines().count(f"close_session {ada.pw_name} 0") >= 1
    opened, closed = (file.read_text().count(word) for word in ("open_session", "close_session"))
    assert opened == closed
    assert nothing_left_of(ada)
