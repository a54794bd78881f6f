"""What the owner of a machine decides about the accounts to which identities are mapped."""

from __future__ import annotations

import msgspec

from afield.endpoint.settings.kinds import Count, Flag, Text

__all__ = ["PamSettings", "UserLimits"]


class PamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The ``pam`` block: whether a user endpoint lives in a PAM session of its account. Needs Linux."""

    #: without it, user endpoints and their tasks can gain no rights at all, not by setuid programs either
    enable: Flag = False
    #: which file of /etc/pam.d says what belongs to such a session
    service_name: Text = "globus-compute-endpoint"


class UserLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The ``user_limits`` block: as limits.conf(5) has them, for each process; unset: as the manager's."""

    #: the largest core dump, in bytes; the default is none at all, for memory holds credentials
    core: Count = 0
    #: open files
    nofile: Count | None = None
    #: processes and threads of the account, all its sessions together
    nproc: Count | None = None
    #: the largest file, in bytes
    fsize: Count | None = None
    #: address space, in bytes
    address_space: Count | None = None
    #: processor time, in seconds
    cpu: Count | None = None
    #: locked memory, in bytes
    memlock: Count | None = None
