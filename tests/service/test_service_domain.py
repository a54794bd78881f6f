"""The small decisions of the service."""

from __future__ import annotations

import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afield.service.domain import documents, liveness
from afield.service.domain.packing import bunches, is_packed, pack_source
from afield.service.domain.records import EndpointRecord, FinishedTask, TaskView, UserEndpointRecord
from afield.service.domain.starting import COMPANION_S, Starts
from afield.service.domain.user_endpoints import check_options, endpoint_wire, user_endpoint_id
from afield.states import TaskState
from afield.wire.messages import ErrorDetails

CORE, OTHER_CORE = "10000000-0000-4000-8000-000000000000", "20000000-0000-4000-8000-000000000000"
ADA, BOB = "a0000000-0000-4000-8000-000000000000", "b0000000-0000-4000-8000-000000000000"
RUNTIME = {"python_version": "3.11.9 (main)", "globus_compute_sdk_version": "4.19.0", "platform": {"node": "laptop"}}


class TestUserEndpointIds:
    def test_it_is_stable_and_a_uuid(self):
        one = user_endpoint_id(CORE, ADA, {"a": 1, "b": {"c": [2]}}, RUNTIME)
        assert one == user_endpoint_id(CORE, ADA, {"b": {"c": [2]}, "a": 1}, dict(reversed(RUNTIME.items())))
        assert str(uuid.UUID(one)) == one

    @pytest.mark.parametrize("config", [None, {}])
    def test_no_configuration_is_one_configuration(self, config):
        assert user_endpoint_id(CORE, ADA, config, RUNTIME) == user_endpoint_id(CORE, ADA, None, RUNTIME)

    def test_the_submitters_machine_does_not_matter(self):
        elsewhere = RUNTIME | {"platform": {"node": "workstation"}}
        assert user_endpoint_id(CORE, ADA, None, RUNTIME) == user_endpoint_id(CORE, ADA, None, elsewhere)

    def test_what_makes_processes_unlike_matters(self):
        ids = {
            user_endpoint_id(CORE, ADA, None, RUNTIME),
            user_endpoint_id(OTHER_CORE, ADA, None, RUNTIME),
            user_endpoint_id(CORE, BOB, None, RUNTIME),
            user_endpoint_id(CORE, ADA, {"a": 1}, RUNTIME),
            user_endpoint_id(CORE, ADA, None, None),
            user_endpoint_id(CORE, ADA, None, RUNTIME | {"python_version": "3.12.1"}),
            user_endpoint_id(CORE, ADA, None, RUNTIME | {"globus_compute_sdk_version": "4.20.0"}),
        }
        assert len(ids) == 7

    @pytest.mark.parametrize("name", ["parent_config", "user_runtime", "mapped_identity", "_GC"])
    def test_names_of_the_endpoints_own_are_refused(self, name):
        refusal = check_options({"fine": 1, name: 2})
        assert refusal is not None
        assert refusal.status == 422
        assert name in refusal.message

    def test_other_names_are_fine(self):
        assert check_options({"fine": 1}) is None
        assert check_options(None) is None

    @pytest.mark.parametrize(("said", "wire"), [(2, 2), (3, 2), (1, 1), (None, 1), ("2", 1)])
    def test_the_envelope_is_what_the_endpoint_said(self, said, wire):
        assert endpoint_wire(EndpointRecord(CORE, ADA, "e", 0.0, metadata={"afield_wire": said})) == wire


class TestLiveness:
    core = EndpointRecord(CORE, ADA, "e", 0.0)
    user = UserEndpointRecord("u", CORE, ADA, 0.0)

    def test_it_is_offline_before_its_first_report(self):
        assert not liveness.is_online(self.core, 0.0)
        assert not liveness.is_online(self.user, 0.0)

    def test_a_report_is_good_for_two_and_a_half_periods(self):
        core = liveness.after_core_report(self.core, {"heartbeat_period": 10}, 100.0)
        user = liveness.after_user_report(self.user, {"heartbeat_period": 10, "active": True}, 100.0)
        for record in (core, user):
            assert liveness.is_online(record, 124.9)
            assert not liveness.is_online(record, 125.0)

    def test_period_zero_is_a_core_endpoints_goodbye(self):
        core = liveness.after_core_report(self.core, {"heartbeat_period": 30}, 100.0)
        assert not liveness.is_online(liveness.after_core_report(core, {"heartbeat_period": 0}, 101.0), 101.0)

    def test_active_false_is_a_user_endpoints_goodbye(self):
        user = liveness.after_user_report(self.user, {"heartbeat_period": 30, "active": True}, 100.0)
        assert not liveness.is_online(
            liveness.after_user_report(user, {"heartbeat_period": 30, "active": False}, 101.0), 101.0
        )

    def test_an_error_never_takes_a_core_endpoint_offline(self):
        core = liveness.after_core_report(self.core, {"heartbeat_period": 30}, 100.0)
        report = {"error": "(SystemExit) 73", "heartbeat_period": 0}
        assert liveness.after_core_report(core, report, 150.0) == core

    def test_an_error_takes_a_user_endpoint_offline(self):
        user = liveness.after_user_report(self.user, {"heartbeat_period": 30, "active": True}, 100.0)
        after = liveness.after_user_report(user, {"error": "no such engine", "heartbeat_period": 3}, 101.0)
        assert not liveness.is_online(after, 101.0)

    @pytest.mark.parametrize("period", [None, "soon", -1, float("nan"), float("inf")])
    def test_a_strange_period_is_the_usual_one(self, period):
        core = liveness.after_core_report(self.core, {"heartbeat_period": period}, 100.0)
        assert liveness.is_online(core, 174.0)
        assert not liveness.is_online(core, 176.0)

    def test_the_rendered_configuration_is_not_kept(self):
        """It may hold its user's secrets."""
        user = liveness.after_user_report(self.user, {"config_raw": "password: x", "total_workers": 2}, 1.0)
        assert user.state == {"total_workers": 2}


class TestStarting:
    def test_all_who_wait_for_it_go_on(self):
        starts = Starts()
        one, two, other = starts.wait(CORE, "u"), starts.wait(CORE, "u"), starts.wait(CORE, "v")
        assert starts.came_up(CORE, "u") == {one, two}
        assert starts.came_up(CORE, "u") == set()
        assert starts.is_pending("v")
        assert starts.came_up(CORE, "v") == {other}

    def test_a_failure_is_for_those_who_wait_for_it(self):
        starts = Starts()
        one, other = starts.wait(CORE, "u"), starts.wait(CORE, "v")
        assert starts.failed(CORE, "u", 0.0) == {one}
        assert starts.came_up(CORE, "v") == {other}

    def test_the_second_telling_of_a_failure_costs_nobody(self):
        """A published core endpoint tells it under the user endpoint's id and then under its own."""
        starts = Starts()
        starts.wait(CORE, "u")
        other = starts.wait(CORE, "v")
        starts.failed(CORE, "u", 0.0)
        assert starts.core_failed(CORE, 1.0) == set()
        assert starts.core_failed(CORE, 2.0) == {other}

    def test_each_failure_has_one_companion(self):
        starts = Starts()
        starts.failed(CORE, "u", 0.0)
        starts.failed(CORE, "v", 0.0)
        waiting = starts.wait(CORE, "w")
        assert starts.core_failed(CORE, 1.0) == set()
        assert starts.core_failed(CORE, 1.0) == set()
        assert starts.core_failed(CORE, 1.0) == {waiting}

    def test_a_companion_does_not_come_late(self):
        starts = Starts()
        starts.failed(CORE, "u", 0.0)
        waiting = starts.wait(CORE, "v")
        assert starts.core_failed(CORE, COMPANION_S) == {waiting}

    def test_alone_it_fails_all_that_wait_there_and_nowhere_else(self):
        starts = Starts()
        one, two = starts.wait(CORE, "u"), starts.wait(CORE, "v")
        elsewhere = starts.wait(OTHER_CORE, "w")
        assert starts.core_failed(CORE, 0.0) == {one, two}
        assert starts.came_up(OTHER_CORE, "w") == {elsewhere}

    def test_who_gave_up_is_not_told(self):
        starts = Starts()
        one, two = starts.wait(CORE, "u"), starts.wait(CORE, "u")
        starts.give_up(CORE, "u", one)
        assert starts.is_pending("u")
        starts.give_up(CORE, "u", two)
        assert not starts.is_pending("u")
        starts.give_up(CORE, "u", two)
        assert starts.came_up(CORE, "u") == set()
        assert starts.core_failed(CORE, 0.0) == set()


class TestTaskDocuments:
    view = TaskView("t", "g", ADA, CORE, "u", "f", TaskState.WAITING_FOR_ENDPOINT, 5.0)

    def shown(self, end: FinishedTask | None, wire: int = 1) -> dict[str, object]:
        view = self.view if end is None else msgspec.structs.replace(self.view, state=end.state, finished=end)
        return msgspec.json.decode(msgspec.json.encode(documents.task_document(view, wire)))

    def test_one_that_waits_has_no_end(self):
        assert self.shown(None) == {"task_id": "t", "status": "waiting-for-ep"}

    def test_success(self):
        end = FinishedTask(
            "t", TaskState.SUCCESS, 12.5, "00\nä\n".encode(), details={"os": "x"},
            transitions=((1_500_000_000, "execution-start", "worker"),),
        )  # fmt: skip
        assert self.shown(end) == {
            "task_id": "t", "status": "success", "result": "00\nä\n", "completion_t": "12.5",
            "details": {"os": "x", "task_transitions": {"execution-start": 1.5}},
        }  # fmt: skip

    def test_failure_has_an_exception_a_reason_and_a_time(self):
        end = FinishedTask(
            "t", TaskState.FAILED, 12.5, b"Traceback", ErrorDetails("WorkerLost", "it died"), exception=b"!"
        )
        shown = self.shown(end)
        assert shown["status"] == "failed"
        assert shown["exception"] == "Traceback"
        assert shown["reason"] == "it died"
        assert shown["completion_t"] == "12.5"
        assert "result" not in shown
        assert "exception_object" not in shown
        assert None not in shown.values()
        assert self.shown(end, wire=2)["exception_object"] == "IQ=="

    def test_cancelled_is_failed_for_those_who_do_not_know_it(self):
        end = FinishedTask("t", TaskState.CANCELLED, 12.5, b"cancelled")
        assert self.shown(end)["status"] == "failed"
        assert self.shown(end)["exception"] == "cancelled"
        assert self.shown(end, wire=2)["status"] == "cancelled"

    def test_unknown_ones_have_a_reason_and_no_exception_that_clients_would_raise(self):
        shown = msgspec.json.decode(msgspec.json.encode(documents.unknown_task("t")))
        assert shown == {"task_id": "t", "status": "failed", "reason": "Unknown task id"}


class TestPacking:
    @pytest.mark.parametrize("source", ["def f(): pass", "def f(): return 'ä🐍'", ""])
    def test_source_is_packed_with_its_length_in_characters(self, source):
        packed = pack_source("f", source)
        assert packed == f"{len('st' + chr(10) + 'f:' + source)}\nst\nf:{source}"
        assert is_packed(packed, 1)

    @given(st.lists(st.text(), min_size=1, max_size=4))
    def test_what_is_packed_is_packed(self, texts):
        packed = "".join(f"{len(text)}\n{text}" for text in texts)
        assert is_packed(packed, len(texts))
        assert not is_packed(packed, len(texts) + 1)
        assert not is_packed(packed + "x", len(texts))
        assert not is_packed(packed[:-1], len(texts))

    @pytest.mark.parametrize("text", ["", "x", "2\na", "²\nab", "-1\n", "\n", "1" * 5000 + "\nx", "01x\na"])
    def test_what_is_not_is_not(self, text):
        assert not is_packed(text, 1)

    @given(st.lists(st.integers(0, 50)), st.integers(1, 5), st.integers(1, 60))
    def test_bunches_hold_everything_in_order_within_bounds(self, sizes, most, most_bytes):
        cut = list(bunches(sizes, lambda size: size, most=most, most_bytes=most_bytes))
        assert [size for bunch in cut for size in bunch] == sizes
        for bunch in cut:
            assert 1 <= len(bunch) <= most
            assert len(bunch) == 1 or sum(bunch) <= most_bytes
