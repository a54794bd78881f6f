"""Choosing how functions and arguments are serialized, and checking that it works."""

import sys

from globus_compute_sdk import Client, Executor
from globus_compute_sdk.serialize import CombinedCode, ComputeSerializer, DillCode, DillCodeSource, DillDataBase64
from globus_compute_sdk.serialize import DillTextInspect


def greet(name, greeting="greetings"):
    return f"{greeting} {name}"


gcc = Client(code_serialization_strategy=CombinedCode(), data_serialization_strategy=DillDataBase64())
gcx = Executor(sys.argv[1], funcx_client=gcc)
assert gcx.submit(greet, "world", greeting="hello").result() == "hello world"

for code in (DillCode, DillCodeSource, DillTextInspect, CombinedCode):
    serializer = ComputeSerializer(strategy_code=code(), strategy_data=DillDataBase64())
    serializer.check_strategies(greet, "world", greeting="hello")
    fn, args, kwargs = serializer.check_strategies(greet, "world", greeting="hello")
    assert fn(*args, **kwargs) == greet("world", greeting="hello")
    with Executor(sys.argv[1], serializer=serializer) as ex:
        assert ex.submit(greet, "world").result() == "greetings world"
gcx.shutdown()
print("done")
