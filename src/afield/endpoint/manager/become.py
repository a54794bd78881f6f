"""``python -I -m afield.endpoint.manager.become``: from root to an account of this machine, once and for good.

A manager that runs as root starts this with an empty environment and a pipe on its standard input. The first frame says
what to become (:class:`~afield.endpoint.manager.lodger.Become`, read with the standard library only); what follows it
in the pipe is for the program that is executed at the end, and is not touched. Needs Linux.

What is done, in this order, each step a line of :func:`main` or :func:`_drop`; if any fails, the process ends and
nothing of the account has run:

1.  To ``/``; files private (umask 077); every descriptor above 2 closed, but for that of the audit log where there is
    one, which becomes 3; every signal as usual, none blocked; a keyring of its own, for what lies in the
    manager's session keyring would go along with it (keyrings(7)).
2.  Resource limits, while they can still be raised.
3.  With PAM: account checked, groups set, credentials and session opened. Then a second process goes on, in a session
    of its own (setsid), and the first stays behind as root, only to close the PAM session when the second has ended.
    Without the first, the second ends.
4.  Without PAM: every capability leaves the bounding set, and none is ambient.
5.  Groups, then group, then user: supplementary ones of the account only (initgroups), real, effective and saved ids.
6.  Without PAM: permitted, effective and inheritable capabilities cleared, and no_new_privs set, after which setuid
    programs give nothing either.
7.  Proof: all ids are the account's, none is root, and going back to root is refused.
8.  To the account's home; then the program, with exactly the given environment.
"""

from __future__ import annotations

import ctypes
import errno
import grp
import json
import os
import platform
import resource
import signal
import struct
import sys
from contextlib import suppress
from typing import Any, Final, NoReturn

__all__ = ["main"]

#: What sysexits.h calls them.
_EX_OSERR: Final = 71
_EX_NOPERM: Final = 77

#: From linux/prctl.h and linux/capability.h.
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_KEEPCAPS: Final = 8
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITY_VERSION_3: Final = 0x20080522

#: From linux/keyctl.h, and the number of the system call keyctl, for which the C library has no function.
_KEYCTL_JOIN_SESSION_KEYRING: Final = 1
_KEYCTL: Final = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}

_LIMITS: Final = {"address_space": resource.RLIMIT_AS, "core": resource.RLIMIT_CORE, "cpu": resource.RLIMIT_CPU,
                  "fsize": resource.RLIMIT_FSIZE, "memlock": resource.RLIMIT_MEMLOCK, "nofile": resource.RLIMIT_NOFILE,
                  "nproc": resource.RLIMIT_NPROC}  # fmt: skip


class Refused(Exception):  # noqa: N818 - says what happened
    """Why nothing was started, for whoever submitted."""


def main() -> int:
    """Become who the first frame says; returns only where that failed, or where a PAM session was kept."""
    try:
        os.chdir("/")
        os.umask(0o077)
        order = _order()
        _close(order.get("audit"))
        _calm_signals()
        _leave_keyring()
        _limit(order["limits"])
        if order["pam_service"] is not None:
            return _in_session(order)
        _drop(order, keep_ways_up=False)
        _execute(order, order["environment"])
    except Refused as error:
        print(error, file=sys.stderr, flush=True)
        return _EX_NOPERM
    except (OSError, ValueError) as error:
        print(f"the endpoint could not become the account that it should: {error}", file=sys.stderr, flush=True)
        return _EX_OSERR


def _close(audit: int | None) -> None:
    if audit is not None and audit != 3:
        os.dup2(audit, 3)
    os.closerange(3 if audit is None else 4, os.sysconf("SC_OPEN_MAX"))


def _calm_signals() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) is not None:  # the C library keeps a few to itself
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _leave_keyring() -> None:
    number = _KEYCTL.get(platform.machine())
    if number is None:
        return  # a kind of machine on which nobody has tried this
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, _KEYCTL_JOIN_SESSION_KEYRING, None) < 0:
        failed = ctypes.get_errno()
        if failed not in {errno.EPERM, errno.EACCES, errno.ENOSYS}:  # in many containers there are no keyrings to leave
            raise OSError(failed, f"the manager's keyring cannot be left: {os.strerror(failed)}")


def _order() -> dict[str, Any]:
    """The first frame: four bytes of length and JSON, and not a byte more."""
    (size,) = struct.unpack(">I", _exactly(4))
    order: dict[str, Any] = json.loads(_exactly(size))
    return order


def _exactly(count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = os.read(0, count - len(data))
        if not more:
            raise OSError("this is started by an endpoint's manager, and by nobody else")
        data += more
    return data


def _limit(limits: dict[str, int | None]) -> None:
    for name, most in limits.items():
        if most is not None:
            resource.setrlimit(_LIMITS[name], (most, most))


def _drop(order: dict[str, Any], *, keep_ways_up: bool) -> None:
    """Steps 4 to 7.

    :param keep_ways_up: with PAM, the site decides what setuid programs may do, and what its modules gave
    """
    name, uid, gid = order["name"], order["uid"], order["gid"]
    if uid == 0 or uid == os.getuid():
        raise Refused(f"{name} is root, or who the endpoint runs as")
    libc = ctypes.CDLL(None, use_errno=True)
    _call(libc.prctl(_PR_SET_KEEPCAPS, 0, 0, 0, 0))
    if not keep_ways_up:
        for capability in range(_last_capability() + 1):
            _call(libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0))
        _call(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
        os.initgroups(name, gid)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if not keep_ways_up:
        header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
        _call(libc.capset(header, bytes(24)))
        _call(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _prove(name, uid, gid)


def _prove(name: str, uid: int, gid: int) -> None:
    """Where this process stands now, by what the kernel says."""
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid):
        raise Refused(f"the kernel did not let the endpoint become {name}")
    if 0 in os.getgroups() and gid != 0 and name not in grp.getgrgid(0).gr_mem:
        raise Refused(f"a group of root would be left to {name}")
    try:
        os.setresuid(0, 0, 0)
    except PermissionError:
        return
    raise Refused(f"{name} could become root again")


def _call(returned: int) -> None:
    if returned != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _last_capability() -> int:
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:  # noqa: PTH123 - as little code as can be
        return int(file.read())


def _execute(order: dict[str, Any], environment: dict[str, str]) -> NoReturn:
    name, home, argv = order["name"], order["home"], order["argv"]
    try:
        os.chdir(home)
    except OSError as error:
        raise Refused(f"{home}, the home directory of {name}, cannot be entered: {error.strerror}") from error
    try:
        os.execve(argv[0], argv, environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise Refused(
            f"{name} cannot execute {argv[0]}: {error.strerror}. The endpoint's administrator has to install afield "
            "where every account can read it, such as below /opt"
        ) from error


def _in_session(order: dict[str, Any]) -> int:
    """Step 3: open a PAM session, let another process go on in it, and close it when that has ended."""
    from afield.endpoint.manager.pam import PamError, Session

    # From here on there is something to close: who wants this ended waits until there is a group to hand that on to.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    try:
        with Session(order["pam_service"], order["name"], lambda: os.initgroups(order["name"], order["gid"])) as given:
            made = {name: value for name, value in given.items() if name not in order["site"]}
            code = _keep(order, {**order["environment"], **made})
    except PamError as error:
        raise Refused(f"this machine does not let {order['name']} in: {error}") from error
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if code < 0:  # end as it did, so that the manager sees it
        if -code not in {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _keep(order: dict[str, Any], environment: dict[str, str]) -> int:
    """Start the second process and wait for its end; what it ended with, negative for a signal."""
    reading, writing = os.pipe()
    keeper = os.getpid()
    child = os.fork()
    if child == 0:
        _go_on(order, environment, writing, keeper)
    os.close(writing)
    os.read(reading, 1)  # ends when the other leads its group, or is gone
    os.close(reading)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)  # or the manager's pipe would never end for the other
    signal.signal(signal.SIGTERM, lambda *_: _end_group(child))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
    _, status = os.waitpid(child, 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return os.waitstatus_to_exitcode(status)


def _end_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _end_with(keeper: int, name: str) -> None:
    """Should the keeper of the session be killed, its tenant goes with it; also if that has happened before this."""
    _call(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != keeper:
        raise Refused(f"whoever keeps the session of {name} open has ended: submit again")


def _go_on(order: dict[str, Any], environment: dict[str, str], writing: int, keeper: int) -> NoReturn:
    code = _EX_OSERR
    try:
        os.setsid()
        os.close(writing)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _drop(order, keep_ways_up=True)
        _end_with(keeper, order["name"])
        _execute(order, environment)
    except Refused as error:
        code = _EX_NOPERM
        print(error, file=sys.stderr, flush=True)
    except (OSError, ValueError) as error:
        print(f"the endpoint could not become the account that it should: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
