"""A worker for calls that come as JSON on standard input, answered as JSON. Not a test: run by any interpreter.

``{name: [packed function, packed arguments]}`` -> ``{name: {"data": text, "error": code or None}}``, one after the
other; what is text instead stays as it is. With ``threads`` as its argument all at once, each in a thread. With
``published`` it is what a published worker does, with the published package. Answers of ours have ``"exception"``, too,
in base64.
"""

import json
import sys
import types
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from functools import cache


def ours(function, arguments):
    from afield.wire.jobs import JOB_VERSION, Job, code_digest, decode_outcome, encode_job
    from afield.worker.run import run

    code = function.encode()
    job = encode_job(Job(JOB_VERSION, "a-task", code_digest(code), code, arguments.encode()))
    outcome = decode_outcome(run(job, functions_kept(), alone=sys.argv[1:] != ["threads"]))
    exception = b64encode(outcome.exception).decode() if outcome.exception else None
    return {"data": outcome.data.decode(), "error": outcome.error_code, "exception": exception}


@cache
def functions_kept():
    from afield.worker.functions import FunctionCache

    return FunctionCache()


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
    with ThreadPoolExecutor(len(calls) if sys.argv[1:] == ["threads"] else 1) as pool:
        answers = list(pool.map(lambda call: call if isinstance(call, str) else work(*call), calls.values()))
    json.dump(dict(zip(calls, answers, strict=True)), sys.stdout)
