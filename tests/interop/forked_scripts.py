"""Runs scripts, each in a process of its own that begins with a package imported. Not a test: run beside some.

``python forked_scripts.py PACKAGE`` imports the package, which takes theirs two seconds, and reads requests from its
input, each a line of JSON. For each it forks, and the child becomes ``python script arguments…`` with that environment
and output; a line says its process, another one its exit status.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import sys
from pathlib import Path
from types import CodeType
from typing import Any


def main() -> CodeType | None:
    """Serve until the input ends; in a child, return the script that it is to run."""
    package = sys.argv[1]
    for name in (package, f"{package}.serialize", f"{package}.errors"):
        importlib.import_module(name)
    for name in ("Client", "Executor"):
        getattr(sys.modules[package], name)  # ours are loaded when they are asked for
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        child = os.fork()
        if not child:
            return _become(request)
        print(json.dumps({"pid": child}), flush=True)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)
    return None


def _become(request: dict[str, Any]) -> CodeType:
    os.environ.update(request["environment"])
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, request["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    faulthandler.enable()  # whoever waits in vain for its end sends SIGABRT
    script = request["script"]
    sys.argv = [script, *request["arguments"]]
    sys.path[0] = str(Path(script).parent)
    return compile(Path(script).read_text("utf-8"), script, "exec", dont_inherit=True)


_script = main()
if _script is not None:
    # Whatever this file has defined is nothing of the script's; and it ends as any script does.
    _code, __file__ = _script, _script.co_filename
    for _name in [name for name in globals() if not name.startswith("__") and name != "_code"]:
        del globals()[_name]
    del globals()["_name"]
    exec(globals().pop("_code"))
