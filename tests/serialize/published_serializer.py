"""The published package on the other side of a pipe. Not a test: run by an interpreter that has it installed.

Reads one JSON object per line and answers with one per line::

    {"do": "read", "payload": "..."}                         -> {"repr": "..."} or {"error": "..."}
    {"do": "call", "payload": "...", "args": [...]}          -> the same, of what the function returns
    {"do": "write", "strategy": "...", "value": "<python>"}  -> {"payload": "..."}
    {"do": "write", "strategy": "...", "function": true}     -> {"payload": "..."}, of a function that doubles
"""

import json
import sys

from globus_compute_sdk.serialize import ComputeSerializer, concretes


def double(x):
    return x * 2


def answer(request):
    serializer = ComputeSerializer()
    if request["do"] == "write":
        strategy = getattr(concretes, request["strategy"])()
        value = double if request.get("function") else eval(request["value"])
        return {"payload": strategy.serialize(value)}
    found = serializer.deserialize(request["payload"])
    if request["do"] == "call":
        found = found(*request["args"])
    return {"repr": repr(found)}


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as error:  # noqa: BLE001 - whatever it is, the test wants to hear of it
        reply = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(reply), flush=True)
