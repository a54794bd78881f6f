"""From root to an account, step by step, with what somebody might have left lying about."""

from __future__ import annotations

import json
import os
import platform
import signal
import struct
import subprocess
import sys

import pytest

from afield.endpoint.manager.accounts import Account, environment_of, expiry, find_account, refusal, way_out
from afield.errors import ConfigurationError

BECOME = (sys.executable, "-I", "-m", "afield.endpoint.manager.become")

#: Becomes somebody as carelessly as can be.
AS_ADA = "import os, sys; os.setuid(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"


def frame(body):
    return struct.pack(">I", len(body)) + body


def order(account, *argv, **changes):
    given = {
        "name": account.pw_name, "uid": account.pw_uid, "gid": account.pw_gid, "home": account.pw_dir,
        "environment": {}, "site": [], "audit": None, "argv": argv, "limits": {}, "pam_service": None,
    }  # fmt: skip
    return frame(json.dumps(given | changes).encode())


def become(said, **how):
    return subprocess.run(BECOME, input=said, capture_output=True, env={}, **how)


def test_nothing_of_roots_is_left_to_it(ada, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with secret.open() as file:
        script = "ls /proc/self/fd; id -G; umask; pwd; env; grep -E 'SigIgn|SigBlk' /proc/self/status; cat"
        done = become(
            order(ada, "/bin/sh", "-c", script, environment={"ONLY": "this"}) + b"the rest",
            pass_fds=(file.fileno(),),
            extra_groups=[0, 4, 42],
            cwd=tmp_path,
            preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        )
    lines = done.stdout.decode().splitlines()
    end = lines.index(next(line for line in lines if " " in line and line.split()[0].isdigit()))
    assert {int(number) for number in lines[:end]} <= {0, 1, 2, 3}, "3 is the directory that ls looks at"
    assert sorted(map(int, lines[end].split())) == sorted(os.getgrouplist(ada.pw_name, ada.pw_gid))
    assert lines[end + 1 : end + 3] == ["0077", ada.pw_dir]
    said = done.stdout.decode()
    assert "ONLY=this" in said
    assert "secret" not in said
    masks = dict(line.split(":\t") for line in lines if line.startswith("Sig"))
    terminate = 1 << (signal.SIGTERM - 1)
    assert not int(masks["SigIgn"], 16) & terminate
    assert int(masks["SigBlk"], 16) == 0
    assert said.endswith("the rest"), "what follows the order is for the program, to the last byte"


#: Puts a key into a session keyring of its own, and executes what it is told, with the key's number behind it.
KEEP = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
joined = libc.syscall(250, 1, None)
key = libc.syscall(248, b"user", b"afield-test", b"secret", 6, -3)
if joined < 0 or key < 0:
    sys.exit("no keyrings here")
libc.syscall(250, 5, key, 0x3f000000)  # only for who possesses it
os.write(2, str(key).zfill(10).encode())
os.execv(sys.argv[1], sys.argv[1:])
"""

READ = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
room = ctypes.create_string_buffer(16)
print(libc.syscall(250, 11, int(sys.argv[1]), room, 16), room.value.decode())
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of the system calls are those of x86_64")
def test_the_keyring_of_root_stays_with_root(ada, python):
    keeping = [sys.executable, "-c", KEEP]
    if subprocess.run([*keeping, "/bin/true"], capture_output=True).returncode:
        pytest.skip("this kernel or container has no keyrings")
    script = f"read key; exec {python} -c '{READ}' $key"
    for how, seen in (
        ([sys.executable, "-c", AS_ADA, str(ada.pw_uid), "/bin/sh", "-c", script], "6 secret"),
        (BECOME, "-1"),
    ):
        process = subprocess.Popen(
            [*keeping, *how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        key = process.stderr.read(10)
        said = order(ada, "/bin/sh", "-c", script) if how is BECOME else b""
        out, err = process.communicate(said + key + b"\n")
        assert out.decode().strip() == seen, err


@pytest.mark.parametrize("changes", [{"uid": 0}, {"uid": 0, "gid": 0, "name": "root"}])
def test_it_does_not_become_root(ada, changes):
    done = become(order(ada, "/bin/sh", "-c", "id", **changes))
    assert done.returncode == 77
    assert b"is root" in done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"argv": ["/nowhere/python"]}, b"cannot execute /nowhere/python: No such file"),
        ({"argv": ["/root/x"]}, b"install afield where every account can read it"),
        ({"home": "/nowhere"}, b"/nowhere, the home directory of"),
        ({"limits": {"nofile": 1 << 62}}, b"could not become"),
        ({"name": "nobody-of-that-name", "gid": 4_294_967_295}, b"could not become"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_runs(ada, changes, told):
    done = become(order(ada, "/bin/sh", "-c", "id", **changes))
    assert done.returncode != 0
    assert told in done.stderr, done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize("said", [b"", b"\0\0", frame(b"[" * 9), b"\0\0\0\xff{}"])
def test_what_is_no_order_starts_nothing(make_account, said):
    done = become(said)
    assert done.returncode == 71
    assert b"could not become" in done.stderr


def test_who_is_not_root_becomes_nobody(ada, bob, python):
    done = subprocess.run(
        [python, *BECOME[1:]], input=order(bob, "/usr/bin/id"), capture_output=True, env={},
        user=ada.pw_uid, group=ada.pw_gid, extra_groups=[], cwd="/",
    )  # fmt: skip
    assert done.returncode == 71
    assert b"Operation not permitted" in done.stderr
    assert done.stdout == b""


# --- accounts

ADA = Account("ada", 1001, 1001, "/home/ada", "/bin/bash")
USUAL = {"own_uid": 0, "allow_same": False, "expires": None, "today": 20_000, "pam": False}


@pytest.mark.parametrize(
    ("account", "changes", "told"),
    [
        (ADA, {}, None),
        (Account("toor", 0, 0, "/root", "/bin/sh"), {}, "which is root"),
        (Account("root", 0, 0, "/root", "/bin/sh"), {"allow_same": True, "pam": True}, "which is root"),
        (ADA, {"own_uid": 1001}, "as whom the endpoint itself runs"),
        (ADA, {"own_uid": 1001, "allow_same": True}, None),
        (Account("ada", 1001, 1001, "/", "/usr/sbin/nologin"), {}, "its shell is /usr/sbin/nologin"),
        (Account("ada", 1001, 1001, "/", "/bin/false"), {}, "its shell is /bin/false"),
        (Account("sync", 5, 0, "/sbin", "/bin/sync"), {}, "its shell is /bin/sync"),
        (Account("shutdown", 6, 0, "/sbin", "/sbin/shutdown"), {}, "its shell is /sbin/shutdown"),
        (Account("ada", 1001, 1001, "/", "/bin/false"), {"pam": True}, None),
        (ADA, {"expires": 20_000}, "has expired"),
        (ADA, {"expires": 20_001}, None),
        (ADA, {"expires": 1, "pam": True}, None),
    ],
)
def test_whose_account_may_run_tasks(account, changes, told):
    why = refusal(account, **(USUAL | changes))
    assert why is None if told is None else told in why


def test_an_expiry_is_read_from_the_machines_own_file(tmp_path):
    shadow = tmp_path / "shadow"
    shadow.write_text("ada:!:19000:0:99999:7:::\nbob:x:19000:0:99999:7::123:\nadab:x:1:::::5:\nbroken\n")
    assert [expiry(name, shadow) for name in ("ada", "bob", "eve", "broken")] == [None, 123, None, None]
    assert expiry("ada", tmp_path / "nowhere") is None


@pytest.mark.parametrize("name", ["", "no-such-one", "0", "ada\0root", "\udcff", "ada\nroot", "x" * 5000])
def test_a_name_that_is_no_account_is_told(name):
    with pytest.raises(ConfigurationError, match="there is no account"):
        find_account(name)


def test_an_environment_holds_what_was_given_and_nothing_else():
    assert environment_of(ADA, {"PATH": "/opt/bin", "LANG": "C"}) == {
        "HOME": "/home/ada", "USER": "ada", "LOGNAME": "ada", "SHELL": "/bin/bash", "PATH": "/opt/bin", "LANG": "C",
    }  # fmt: skip


def test_the_way_out_of_a_site_is_passed_on_and_logins_are_not():
    own = {
        "AFIELD_CA_FILE": "/etc/site.pem", "SSL_CERT_FILE": "/etc/a@b.pem", "no_proxy": "localhost",
        "AFIELD_AMQP_PROXY": "http://proxy:3128", "HTTPS_PROXY": "http://cluster:secret@proxy:3128",
        "AFIELD_TOKEN": "t", "LD_PRELOAD": "/x.so", "PYTHONPATH": "/y",
    }  # fmt: skip
    passed, withheld = way_out(own)
    assert passed == {name: own[name] for name in ("AFIELD_CA_FILE", "SSL_CERT_FILE", "AFIELD_AMQP_PROXY", "no_proxy")}
    assert withheld == ["HTTPS_PROXY"]


#: Goes on as the tenant of a PAM session whose keeper is, or was, this process.
TENANT = """
import json, os, sys
from afield.endpoint.manager import become
order, killed = json.loads(sys.argv[1]), sys.argv[2] == "killed"
keeper = os.getpid()
if not os.fork():
    while killed and os.getppid() == keeper:
        os.sched_yield()
    become._go_on(order, {}, os.open(os.devnull, os.O_WRONLY), keeper)
if not killed:
    os.wait()
"""


@pytest.mark.parametrize(("fate", "said"), [("lives", "runs\n"), ("killed", "")])
def test_a_tenant_goes_with_the_keeper_of_its_session_also_if_that_went_first(ada, fate, said):
    told = json.dumps({"name": ada.pw_name, "uid": ada.pw_uid, "gid": ada.pw_gid, "home": "/",
                       "argv": ["/bin/echo", "runs"]})  # fmt: skip
    # Its output ends when the last of them has ended.
    done = subprocess.run([sys.executable, "-c", TENANT, told, fate], capture_output=True, text=True, check=True)
    assert done.stdout == said
    assert ("keeps the session" in done.stderr) == (fate == "killed")
