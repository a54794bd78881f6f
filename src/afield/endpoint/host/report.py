"""What a machine and an installation say of themselves."""

from __future__ import annotations

import getpass
import os
import platform
import pwd
import sys
from typing import Any

from afield import __version__

__all__ = ["facts", "local_identity"]


def facts() -> dict[str, Any]:
    """For registrations and heartbeats; names as published (reference: wire contract section 8.1)."""
    return {
        "hostname": platform.node(),
        "local_user": _user_name(),
        "python_version": platform.python_version(),
        "endpoint_version": __version__,
        "sdk_version": __version__,
        "platform": sys.platform,
    }


def local_identity() -> dict[str, Any]:
    """As whom tasks run here, for templates."""
    uid = os.getuid()
    try:
        record = pwd.getpwuid(uid)
    except KeyError:  # a container whose user nobody entered
        home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() fails where there is none
        nobody = {"uname": _user_name(), "uid": uid, "gid": os.getgid(), "groups": os.getgroups()}
        return nobody | {"gecos": "", "dir": home, "shell": ""}
    return {
        "uname": record.pw_name,
        "uid": uid,
        "gid": record.pw_gid,
        "groups": os.getgrouplist(record.pw_name, record.pw_gid),
        "gecos": record.pw_gecos,
        "dir": record.pw_dir,
        "shell": record.pw_shell,
    }


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
