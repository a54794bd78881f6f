"""Bad input to public calls: an error that names it, and nothing sent. (What one part alone takes is tested there.)"""

from __future__ import annotations

import math
import uuid
from concurrent.futures import Future
from pathlib import Path

import pytest

from afield import Client, Executor
from afield.errors import ConfigurationError, InvalidId
from afield.sdk.batch import Batch
from afield.sdk.checks import json_object, text
from afield.sdk.login.source import find_token
from afield.shell import ShellFunction

ENDPOINT = "4b116d3c-1703-4f8f-9f6f-39921e5864df"
URL = "http://127.0.0.1:1"
WAIT = 20


def double(x):
    return 2 * x


def endless():
    while True:
        yield 1


async def ticks():
    yield 1


async def later():
    return 3


def splits(text):
    """Splits at \0 and at \ud800."""
    return text.split("\0")


HOLDS_ITSELF = {}
HOLDS_ITSELF["a"] = [HOLDS_ITSELF]


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"client": "http://127.0.0.1:5000"}, TypeError, "client should be an afield.Client or None.*a str"),
        ({"funcx_client": 5}, TypeError, "client should be an afield.Client"),
        ({"label": 5}, TypeError, r"label should be text, and is 5 \(an int\)"),
        ({"serializer": 3}, TypeError, "serializer should be a ComputeSerializer"),
        ({"result_serializers": "JSONData"}, TypeError, "result_serializers should be a list"),
        ({"result_serializers": 3}, TypeError, "result_serializers should be a list"),
        ({"user_endpoint_config": {"n": [1, math.nan]}}, ValueError, r"user_endpoint_config\['n'\]\[1\] is nan"),
        ({"resource_specification": {"n": math.inf}}, ValueError, r"resource_specification\['n'\] is inf"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_executor_is_not_made_of_it(client, service, wrong, error, says):
    with pytest.raises(error, match=says):
        Executor(ENDPOINT, **{"client": client} | wrong if "funcx_client" not in wrong else wrong)
    assert service.requests == []


@pytest.mark.parametrize("name", ["serializer", "result_serializers", "user_endpoint_config", "resource_specification"])
def test_a_property_that_refused_is_as_it_was(executor, name):
    before = getattr(executor, name)
    with pytest.raises(TypeError, match=name):
        setattr(executor, name, 3)
    assert getattr(executor, name) is before
    assert executor.submit(double, 2).result(WAIT) == 4


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"service_url": 5}, TypeError, "service_url should be text"),
        ({"service_url": "127.0.0.1:5000"}, ConfigurationError, "not the address of a service"),
        ({"service_url": "ftp://127.0.0.1"}, ConfigurationError, "not the address of a service"),
        ({"service_url": "http://127.0.0.1:99999"}, ConfigurationError, "not the address of a service"),
        ({"service_url": "http://"}, ConfigurationError, "not the address of a service"),
        ({"service_url": URL, "token": 5}, TypeError, "a token is text"),
        ({"service_url": URL, "token": "abc\n"}, ValueError, "no header can"),
        ({"service_url": URL, "token": "Bearer abc"}, ValueError, "holds a space"),
        ({"service_url": URL, "pace": 3}, TypeError, "pace should be"),
        ({"service_url": URL, "connector": 3}, TypeError, r"connector should have a method connect\(\)"),
        ({"transport": 3}, TypeError, "transport should be"),
    ],
)
def test_a_client_is_not_made_of_it(wrong, error, says):
    with pytest.raises(error, match=says) as caught:
        Client(**wrong)
    assert "abc" not in str(caught.value)  # a token is a secret


def test_a_token_from_a_file_by_way_of_the_environment_may_end_with_a_line():
    assert find_token(URL, {"AFIELD_TOKEN": "abc\n"}) == "abc"


@pytest.mark.parametrize("fn", [endless, lambda: (yield 1), ticks])
def test_generator_functions_are_not_submitted(executor, client, service, fn):
    for ask in (executor.submit, executor.register_function, client.register_function, lambda f: executor.map(f, [1])):
        with pytest.raises(TypeError, match="is a generator function"):
            ask(fn)
    assert service.requests == []


def test_coroutine_functions_are(client):
    assert client.register_function(later)  # a worker runs them to their end


def test_a_docstring_never_keeps_a_function_from_being_sent(executor, service):
    assert executor.submit(splits, "a\0b").result(WAIT) == ["a", "b"]
    (function,) = service.functions.values()
    assert function.description == "Splits at  and at ."


@pytest.mark.parametrize(
    ("error", "says", "ask"),
    [
        (TypeError, "description should be text", lambda c: c.register_function(double, description=5)),
        (ValueError, "description holds a NUL", lambda c: c.register_function(double, description="a\0b")),
        (TypeError, "metadata should be a dictionary", lambda c: c.register_function(double, metadata=5)),
        (TypeError, "metadata cannot be written", lambda c: c.register_function(double, metadata={"a": object()})),
        (TypeError, "cannot be called", lambda c: c.register_function(None)),
        (ValueError, "line 1", lambda c: c.register_source_code("def f(:", "f")),
        (ValueError, "'g' is not in it", lambda c: c.register_source_code("def gg(): pass", "g")),
        (ValueError, "source holds a NUL", lambda c: c.register_source_code("def f(): return '\0'", "f")),
        (TypeError, "source should be text", lambda c: c.register_source_code(None, "f")),
        (TypeError, "name should be text", lambda c: c.register_endpoint(5, None)),
        (TypeError, "display_name should be text", lambda c: c.register_endpoint("x", None, display_name=5)),
        (TypeError, "metadata should be", lambda c: c.register_endpoint("x", None, metadata="m")),
        (TypeError, "allowed_functions should", lambda c: c.register_endpoint("x", None, allowed_functions=ENDPOINT)),
        (InvalidId, "not an identity id", lambda c: c.register_endpoint("x", None, admins=["me"])),
        (TypeError, "task ids should come in a list", lambda c: c.get_batch_result(None)),
        (TypeError, "task ids should come in a list", lambda c: c.cancel_tasks(5)),
        (TypeError, "answer of batch_run", lambda c: c.get_batch_result({"tasks": 3})),
        (TypeError, "search should be text", lambda c: c.list_tasks(search=5)),
        (TypeError, "search should be text", lambda c: c.list_functions(search=5)),
        (TypeError, "search should be text", lambda c: c.get_endpoints(search=5)),
        (TypeError, r"limit .* is '5' \(a str\)", lambda c: c.list_tasks(limit="5")),
        (TypeError, "endpoint_version should be text", lambda c: c.version_check(4)),
        (TypeError, "kwargs should be a dictionary.*5", lambda c: c.create_batch().add(ENDPOINT, (), 5)),
        (TypeError, "result_serializers should be a list", lambda c: c.create_batch(result_serializers="JSONData")),
    ],
)  # fmt: skip
def test_a_client_is_not_asked_for_it(client, service, error, says, ask):
    with pytest.raises(error, match=says):
        ask(client)
    assert service.requests == []


@pytest.mark.parametrize("source", ["if 1:\n    def f(): pass", "f = lambda: 1", "from math import *", "exec('f=1')"])
def test_however_a_source_binds_the_name(client, source):
    assert client.register_source_code(source, "f")


@pytest.mark.parametrize(
    ("says", "ask"),
    [
        ("takes at least one iterable", lambda ex: ex.map(double)),
        ("number 2 is 3", lambda ex: ex.map(pow, [1], 3)),
        ("starmap takes an iterable of tuples", lambda ex: ex.starmap(pow, 3)),
        ("ordered should be True or False", lambda ex: ex.map(double, [1], ordered="no")),
        ("progress should be True or False", lambda ex: ex.map(double, [1], progress=3)),
        ("cannot be called", lambda ex: ex.register_function(None, uuid.uuid4())),
        ("not a function id", lambda ex: ex.register_function(double, "abc")),
        ("label holds a NUL", lambda ex: ex.options(label="a\0b")),
        ("label holds .* a lone surrogate", lambda ex: ex.options(label="\ud800")),
        ("needs more than 64 bits", lambda ex: ex.options(user_endpoint_config={"a": 1 << 64})),
        (r"\['a'\] is nan", lambda ex: ex.options(user_endpoint_config={"a": math.nan})),
        ("has the key 1", lambda ex: ex.options(user_endpoint_config={"a": {1: 2}})),
        ("holds itself", lambda ex: ex.options(user_endpoint_config=HOLDS_ITSELF)),
    ],
)
def test_an_executor_is_not_asked_for_it(executor, service, says, ask):
    with pytest.raises((TypeError, ValueError), match=says):
        ask(executor)
    assert service.requests == []


def test_what_only_has_getitem_can_be_mapped(executor):
    class Old:
        def __getitem__(self, place):
            return [1, 2][place]

    assert list(executor.map(double, Old())) == [2, 4]


def test_what_json_can_say_stays():
    assert json_object({"b": [1.5, None, -(1 << 63), (1 << 64) - 1], "a": {"é": True}}, "x") == (
        b'{"a":{"\xc3\xa9":true},"b":[1.5,null,-9223372036854775808,18446744073709551615]}'
    )
    assert json_object({}, "x") == json_object(None, "x") == b""
    assert text("x", "ü\U0001f600", 2) == "ü\U0001f600"


def test_a_batch_without_a_client_is_checked_likewise():
    with pytest.raises(ValueError, match=r"resource_specification\['n'\] is nan"):
        Batch(resource_specification={"n": math.nan})


# -- commands ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "args", "values", "says"),
    [
        ("echo {x}", (5,), {}, "by keyword"),
        ("echo {x}", (), {"y": 1}, "no place for y"),
        ("echo `{x}`", (), {"x": 1}, "between backticks"),
        ("echo $(({x} + 1))", (), {"x": "1; rm"}, "in arithmetic"),
        ("echo {x}", (), {"x": "a\0b"}, "NUL"),
        ("echo {x:d}", (), {"x": "a"}, "format code"),
    ],
)
def test_values_that_do_not_fit_a_command_are_told_at_submit(executor, service, command, args, values, says):
    with pytest.raises((TypeError, ValueError), match=says):
        executor.submit(ShellFunction(command), *args, **values)
    assert service.requests == []


def test_a_command_takes_no_values_by_position_in_map_either(executor, service):
    for chunksize in (1, 2):
        with pytest.raises(TypeError, match="by keyword"):
            executor.map(ShellFunction("echo {x}"), [1], chunksize=chunksize)
    assert service.requests == []


def test_a_value_that_is_still_to_come_is_not_judged(executor, service):
    value = Future()
    future = executor.submit(ShellFunction("echo $(({x} + 1)) {y:d}"), x=[value], y=2)
    value.set_result(4)
    assert future.result(WAIT).stdout == "5 2\n"


def test_the_class_of_commands_is_a_function_like_any_other(executor):
    made = executor.submit(ShellFunction, "echo {x}").result(WAIT)
    assert made.command(x=1) == "echo 1"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"walltime": True}, "seconds above 0"),
        ({"snippet_lines": True}, "from 0 up"),
        ({"stdout": 5}, "stdout should be the name of a file"),
        ({"stderr": b"x"}, "stderr should be the name of a file"),
        ({"cmd": "l\0s"}, "cmd holds a NUL"),
    ],
)
def test_a_command_is_not_made_of_it(wrong, says):
    with pytest.raises((TypeError, ValueError), match=says):
        ShellFunction(**{"cmd": "ls"} | wrong)


def test_the_file_of_a_command_may_be_a_path():
    assert ShellFunction("ls", stdout=Path("logs", "out")).stdout == "logs/out"
