"""A report of the machine that a worker runs on, as a function that any worker can run, whatever is installed there."""

from __future__ import annotations

from typing import Final

__all__ = ["ENTRY_POINT", "SOURCE"]

ENTRY_POINT: Final = "hardware_report"

SOURCE: Final = """\
def hardware_report():
    import os
    import platform
    import shutil
    import subprocess
    import sys

    parts = [
        f"host: {platform.node()}",
        f"system: {platform.platform()}",
        f"python: {sys.version}",
        f"processors: {os.cpu_count()}",
    ]
    for command in (["lscpu"], ["free", "-h"], ["nvidia-smi"], ["df", "-h"]):
        if shutil.which(command[0]):
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
            parts.append(f"$ {' '.join(command)}\\n{(done.stdout or done.stderr).strip()}")
    return "\\n\\n".join(parts)
"""
