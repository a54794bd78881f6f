"""Where the command `afield` begins: before anything that may not be installed."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, or say what has to be installed for it."""
    try:
        from afield.cli import main as command
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich"}:
            raise
        print(
            f"afield: the command line needs {error.name}, which is not installed: pip install 'afield[cli]', or "
            "'afield[all]' for a service and an endpoint too. (Programs that submit tasks need neither.)",
            file=sys.stderr,
        )
        sys.exit(1)
    command.main()
