"""What a submit may hold, and whose Python reads whose code."""

from __future__ import annotations

import msgspec
import pytest

from afield.service.domain.records import EndpointRecord, FunctionRecord, UserEndpointRecord
from afield.service.domain.submitting import asked_for, check_submit
from afield.service.domain.versions import check_python, workers_python
from afield.wire.messages import CallOptions
from afield.wire.rest import FunctionRegistration, SubmitRequest

PAYLOAD = "2\nar2\nkw"
SOURCE = FunctionRegistration("f", "def f(): 1", serialized=False)


def check(*, client_wire: int = 2, endpoint_wire: int = 2, **said):
    request = SubmitRequest(**({"tasks": {"f": [PAYLOAD]}} | said))
    return check_submit(request, client_wire=client_wire, endpoint_wire=endpoint_wire, most_tasks=5, most_bytes=100)


EVERY_OPTION = [
    (CallOptions(timeout_s=1), "timeout"),
    (CallOptions(retries=1), "retries"),
    (CallOptions(retry_on=("builtins.OSError",)), "retry_on"),
    (CallOptions(priority=-1), "priority"),
    (CallOptions(cores=1), "cores"),
    (CallOptions(memory=1), "memory"),
    (CallOptions(gpus=1), "gpus"),
]


class TestOptions:
    @pytest.mark.parametrize(("options", "name"), EVERY_OPTION)
    def test_a_published_endpoint_cannot_honour_them(self, options, name):
        refusal = check(options=options, endpoint_wire=1)
        assert (refusal.status, refusal.code, refusal.about) == (422, "OPTIONS_NOT_SUPPORTED", [name])
        assert name in refusal.message
        assert "Leave it out" in refusal.message
        assert check(options=options, endpoint_wire=2) is None

    def test_every_option_is_either_tested_above_or_harmless(self):
        tested = {name for _, name in EVERY_OPTION} - {"timeout"} | {"timeout_s"}
        assert tested | {"label", "backoff_s"} == set(CallOptions.__struct_fields__)

    def test_all_that_were_asked_for_are_named(self):
        assert asked_for(CallOptions(timeout_s=3, gpus=2, label="x")) == ["timeout", "gpus"]

    @pytest.mark.parametrize("options", [None, CallOptions(), CallOptions(label="mine"), CallOptions(backoff_s=9)])
    def test_what_asks_for_nothing_is_fine_everywhere(self, options):
        assert check(options=options, endpoint_wire=1) is None

    @pytest.mark.parametrize(
        ("name", "value", "large"),
        [
            ("resource_specification", {"launcher_options": "x"}, {"launcher_options": "x" * 33_000}),
            ("result_serializers", ["a.B"], ["a.B" * 20] * 1_000),
            ("user_endpoint_config", {"a": "x" * 200_000}, {"a": "x" * 263_000}),
            ("user_runtime", {"python_version": "3.12"}, {"python_version": "3" * 263_000}),
        ],
    )
    def test_what_travels_in_headers_and_commands_is_bounded(self, name, value, large):
        assert check(**{name: value}) is None
        refusal = check(**{name: large})
        assert (refusal.status, refusal.code) == (422, "SEMANTICALLY_INVALID")
        assert name in refusal.message

    @pytest.mark.parametrize("names", [("x",) * 101, ("x" * 301,)])
    def test_what_is_kept_with_each_task_is_bounded(self, names):
        refusal = check(options=CallOptions(retry_on=names))
        assert refusal.status == 422
        assert "retry_on" in refusal.message


class TestFunctions:
    def test_they_may_come_along(self):
        assert check(functions={"f": SOURCE}) is None

    def test_a_client_that_would_not_be_told_their_ids_is_refused(self):
        refusal = check(functions={"f": SOURCE}, client_wire=1)
        assert (refusal.status, refusal.code) == (400, "REQUEST_MALFORMED")
        assert "X-Afield-Wire: 2" in refusal.message

    def test_one_that_no_task_calls_is_a_mistake(self):
        refusal = check(functions={"f": SOURCE, "idle": SOURCE})
        assert refusal.status == 422
        assert "functions[idle]" in refusal.message


ENDPOINT = EndpointRecord("e", "ada", "e", 0.0, metadata={"python_version": "3.10.2"})
USER_ENDPOINT = UserEndpointRecord("u", "e", "ada", 0.0, state={"python_version": "3.12.1"})


class TestWorkersPython:
    def test_its_reports_say_it(self):
        assert workers_python(ENDPOINT, USER_ENDPOINT) == "3.12.1"

    def test_before_the_first_its_core_endpoint_stands_for_it(self):
        assert workers_python(ENDPOINT, msgspec.structs.replace(USER_ENDPOINT, state={})) == "3.10.2"
        assert workers_python(ENDPOINT, None) == "3.10.2"

    @pytest.mark.parametrize("said", [None, 3.12, [3, 12], "", "unknown", "x" * 1000])
    def test_nobody_may_have_said(self, said):
        assert workers_python(msgspec.structs.replace(ENDPOINT, metadata={"python_version": said}), None) is None
        assert workers_python(None, None) is None


def function(serde: str | None = "01", python: str | None = "3.11.4", name: str = "f") -> FunctionRecord:
    metadata = {"serde_identifier": serde, "python_version": python}
    return FunctionRecord(name, "ada", name, b"", 0.0, metadata=metadata)


def submit(*, compiled: bool = False, version_tuple: object = (3, 11, 4)) -> SubmitRequest:
    runtime = {"python": {"version_tuple": list(version_tuple)}} if isinstance(version_tuple, tuple) else version_tuple
    return SubmitRequest({"f": [PAYLOAD]}, user_runtime=runtime, compiled=compiled)


class TestPython:
    @pytest.mark.parametrize("serde", ["01", "02"])
    def test_a_compiled_function_for_another_python_is_refused(self, serde):
        refusal = check_python(submit(), {"key": function(serde), "fine": function("10")}, "3.12.1")
        assert (refusal.status, refusal.code, refusal.about) == (422, "PYTHON_MISMATCH", ["3.12.1", "key"])
        for part in ("'f'", "Python 3.11.4", "Python 3.12.1", "Send source", "from Python 3.12,", "run Python 3.11."):
            assert part in refusal.message

    def test_all_of_them_are_named(self):
        refusal = check_python(submit(), {"a": function(name="one"), "b": function(name="two")}, "3.12.1")
        assert refusal.about == ["3.12.1", "a", "b"]
        assert "Functions 'one', 'two' were compiled" in refusal.message

    def test_who_compiled_it_counts_and_not_who_submits_it(self):
        """Registered last year from a laptop that has a newer Python by now."""
        assert check_python(submit(version_tuple=(3, 12, 0)), {"f": function()}, "3.12.1") is not None
        assert check_python(submit(version_tuple=(3, 11, 0)), {"f": function(python="3.12.9")}, "3.12.1") is None

    def test_compiled_arguments_are_refused(self):
        refusal = check_python(submit(compiled=True), {"f": function("10")}, "3.12.1")
        assert (refusal.code, refusal.about) == ("PYTHON_MISMATCH", ["3.12.1"])
        assert "Arguments" in refusal.message

    @pytest.mark.parametrize("workers", ["3.11.9", "3.11.0", None])
    def test_the_same_minor_version_is_fine_and_an_unknown_one_is_not_refused(self, workers):
        assert check_python(submit(compiled=True), {"f": function()}, workers) is None

    @pytest.mark.parametrize("runtime", [None, {}, {"python": "3.11"}, {"python": {"version_tuple": "3.11"}}])
    def test_a_submitter_that_does_not_say_its_python_is_not_refused(self, runtime):
        assert check_python(submit(compiled=True, version_tuple=runtime), {"f": function("10")}, "3.12.1") is None

    @pytest.mark.parametrize("metadata", [None, {}, {"serde_identifier": "01"}, {"serde_identifier": ["01"]}])
    def test_a_function_of_which_nothing_is_known_is_not_refused(self, metadata):
        one = msgspec.structs.replace(function(), metadata=metadata)
        assert check_python(submit(), {"f": one}, "3.12.1") is None

    @pytest.mark.parametrize(("code", "is_compiled"), [(b"7\n01\nabcd", True), (b"7\nst\na:b1", False), (b"", False)])
    def test_the_code_itself_tells_how_it_was_made(self, code, is_compiled):
        one = msgspec.structs.replace(function(serde=None), code=code)
        assert (check_python(submit(), {"f": one}, "3.12.1") is not None) is is_compiled

    def test_the_published_wording_of_a_version_is_understood(self):
        one = function(python="3.11.4 (main, Jun  7 2023) [GCC 12.2.0]")
        assert "Python 3.11.4," in check_python(submit(), {"f": one}, "3.12.1").message
