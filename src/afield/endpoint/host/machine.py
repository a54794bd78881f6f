"""Which machine this is, and since when it is up: a host name alone says neither after a reboot."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["boot_id", "host_name"]

#: Linux has a name for the time since the last start of its kernel, also within containers.
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def host_name() -> str:
    """As people call this machine."""
    return platform.node()


@cache
def boot_id() -> str:
    """The same until this machine is started again. Where there is no such name (macOS), the moment of its start."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        import psutil

        return f"{platform.node()} {psutil.boot_time():.0f}"
