"""``python -m afield.endpoint.cli``: the same as ``afield endpoint``, without looking for the other floors' commands.

It is how an endpoint starts itself detached, for it loads less and needs no script on the PATH.
"""

from __future__ import annotations

import sys

from afield.endpoint.cli import app
from afield.errors import ComputeError

if __name__ == "__main__":
    try:
        app(prog_name="afield endpoint")
    except ComputeError as error:
        print(f"afield: {str(error).strip()}", file=sys.stderr)
        sys.exit(1)
