"""``python tests/interop/environments.py FOLDER``: an environment with the published packages, made once.

Prints its interpreter, or nothing where it cannot be made, and then says why.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: What the tests were written against.
VERSION = "4.19.0"


def main(folder: Path) -> int:
    """Make it unless it is there; print its interpreter."""
    place = folder / VERSION
    inside, mark = place / "bin" / "python", place / ".ready"
    if not mark.exists():
        print(f"Making an environment with the published packages {VERSION} in {place} ...", file=sys.stderr)
        wanted = [f"globus-compute-sdk=={VERSION}", f"globus-compute-endpoint=={VERSION}"]
        pip = [str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
        for command in ([sys.executable, "-m", "venv", "--clear", str(place)], pip):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"It cannot be made: {done.stderr[-500:]}", file=sys.stderr)
                return 1
        mark.touch()
    print(inside)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
