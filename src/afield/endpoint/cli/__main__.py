"""``python -m afield.endpoint.cli``: the same as ``afield endpoint``, without looking for the other floors' commands.

It is how an endpoint starts itself detached, for it loads less and needs no script on the PATH.
"""

from __future__ import annotations

import sys

from afield.cli.narrow import narrowed
from afield.endpoint.cli import app

if __name__ == "__main__":
    narrowed(app, sys.argv[1:])(prog_name="afield endpoint")
