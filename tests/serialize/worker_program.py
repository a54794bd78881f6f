"""A worker for calls that come as JSON on standard input, answered as JSON. Not a test: run by any interpreter.

``{name: [packed function, packed arguments]}`` -> ``{name: {"data": text, "error": code or None}}``; what is text
instead stays as it is. With ``published`` as its argument it is what a published worker does, with the published
package; then answers have ``"repr"``, too.
"""

import json
import sys
import types


def ours(function, arguments):
    from afield.wire.jobs import JOB_VERSION, Job, code_digest, decode_outcome, encode_job
    from afield.worker.run import run

    code = function.encode()
    outcome = decode_outcome(run(encode_job(Job(JOB_VERSION, "a-task", code_digest(code), code, arguments.encode()))))
    return {"data": outcome.data.decode(), "error": outcome.error_code}


def published(function, arguments):
    from globus_compute_sdk.serialize import ComputeSerializer

    serializer = ComputeSerializer()
    try:
        function, args, kwargs = serializer.unpack_and_deserialize(function + arguments)
        return {"data": serializer.serialize(function(*args, **kwargs)), "error": None}
    except Exception as error:  # noqa: BLE001 - whatever it is, the test wants to hear of it
        return {"data": f"{type(error).__name__}: {error}", "error": "RemoteExecutionError"}


if __name__ == "__main__":
    calls = json.load(sys.stdin)
    work = published if sys.argv[1:] == ["published"] else ours
    # As a worker does it: functions shall find nothing of this program.
    sys.modules["__main__"] = types.ModuleType("__main__")
    answers = {name: call if isinstance(call, str) else work(*call) for name, call in calls.items()}
    json.dump(answers, sys.stdout)
