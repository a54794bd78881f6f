"""The published packages on the other side of a pipe. Not a test: run by an interpreter that has them installed.

Reads one JSON object per line and answers with one per line::

    {"do": "read", "body": hex}                         -> {"type": "Result", "fields": {...}} or {"error": "..."}
    {"do": "write", "type": "Result", "fields": {...}}  -> {"body": hex}
    {"do": "pack", "buffers": [...]}                    -> {"packed": "..."}
    {"do": "unpack", "packed": "..."}                   -> {"buffers": [...]} or {"error": "..."}

``python published_peer.py golden`` writes what tests/wire/golden.json holds.
"""

import json
import sys

from globus_compute_common.messagepack import message_types, pack, unpack
from globus_compute_sdk.serialize import ComputeSerializer


def answer(request):
    if request["do"] == "read":
        message = unpack(bytes.fromhex(request["body"]))
        return {"type": type(message).__name__, "fields": message.model_dump(mode="json")}
    if request["do"] == "write":
        return {"body": pack(getattr(message_types, request["type"])(**request["fields"])).hex()}
    if request["do"] == "pack":
        return {"packed": ComputeSerializer.pack_buffers(request["buffers"])}
    return {"buffers": ComputeSerializer.unpack_buffers(request["packed"])}


def golden():
    task = "0192f3a0-1111-7000-8000-000000000001"
    endpoint = "0192f3a0-2222-7000-8000-000000000002"
    buffers = ["01\ngASVFQ==\n", "00\ngAQpLg==\n", "00\ngAR9lC4=\n"]
    foreign = ["st\nf:def f(x):\n    return 'Ärger ☃ 𝄞'\n", '11\n["ß", "𝄞𝄞"]', "11\n{}"]
    steps = [
        {"timestamp": 1700000000123456789, "state": "execution-start", "actor": "worker"},
        {"timestamp": 1700000000223456789, "state": "execution-end", "actor": "worker"},
    ]
    details = {"os": "Linux", "dill_version": "0.3.9", "python_version": "3.11.7", "endpoint_id": endpoint}
    failure = {"code": "RemoteExecutionError", "user_message": "It failed: ☃"}
    wanted = [
        ("task", "Task", {"task_id": task, "task_buffer": ComputeSerializer.pack_buffers(buffers)}),
        ("task, not ASCII", "Task", {"task_id": task, "task_buffer": ComputeSerializer.pack_buffers(foreign)}),
        ("result", "Result", {"task_id": task, "data": "00\ngARLKi4=\n", "details": details, "task_statuses": steps}),
        ("result, bare", "Result", {"task_id": task, "data": '11\n"𝄞"'}),
        ("failure", "Result", {"task_id": task, "data": "Traceback …\nValueError: ä\n", "error_details": failure}),
        ("alive", "EPStatusReport", {"endpoint_id": endpoint, "global_state": {"heartbeat_period": 30},
                                     "task_statuses": {}}),
        ("start failure", "EPStatusReport", {"endpoint_id": endpoint, "task_statuses": {},
                                             "global_state": {"error": "no such option: ☃", "heartbeat_period": 3}}),
    ]  # fmt: skip
    bodies = [
        {"name": name, "type": kind, "fields": fields, "body": pack(getattr(message_types, kind)(**fields)).decode()}
        for name, kind, fields in wanted
    ]
    json.dump(
        {"made_with": "globus-compute-common 1.0.0", "messages": bodies}, sys.stdout, indent=1, ensure_ascii=False
    )
    sys.stdout.write("\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["golden"]:
        golden()
    else:
        for line in sys.stdin:
            try:
                reply = answer(json.loads(line))
            except Exception as error:  # noqa: BLE001 - what the packages refuse is an answer too
                reply = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(reply), flush=True)
