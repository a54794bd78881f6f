"""What becomes of a wish to cancel: the table, and what stands on either side of it."""

from __future__ import annotations

import itertools

import pytest

from afield.service.domain.cancelling import TABLE, Move, Peer, decide_cancel, may_have_begun, peer_of, why_left
from afield.service.domain.records import EndpointRecord, UserEndpointRecord
from afield.states import TERMINAL, TaskState

WAITING, RUNNING = TaskState.WAITING_FOR_ENDPOINT, TaskState.RUNNING
THERE, AWAY, PUBLISHED = Peer.OURS_THERE, Peer.OURS_AWAY, Peer.PUBLISHED

#: (state, peer, taken, running) -> what to do.
EXPECTED = [
    (WAITING, THERE, False, True, Move.ASK),
    (RUNNING, THERE, False, True, Move.ASK),
    (WAITING, THERE, False, False, Move.ASK),
    (TaskState.WAITING_FOR_LAUNCH, THERE, False, False, Move.ASK),
    (RUNNING, THERE, False, False, Move.LEAVE),
    (WAITING, AWAY, False, True, Move.END_AND_TELL),
    (RUNNING, AWAY, False, True, Move.END_AND_TELL),
    (WAITING, AWAY, False, False, Move.END_AND_TELL),
    (RUNNING, AWAY, False, False, Move.LEAVE),
    (WAITING, PUBLISHED, False, True, Move.END),
    (WAITING, PUBLISHED, True, True, Move.END),
    (WAITING, PUBLISHED, False, False, Move.END),
    (WAITING, PUBLISHED, True, False, Move.LEAVE),
]


@pytest.mark.parametrize(("state", "peer", "taken", "running", "move"), EXPECTED)
def test_the_decision(state, peer, taken, running, move):
    assert decide_cancel(state, peer, taken=taken, running=running) is move


def test_the_table_is_whole():
    assert set(TABLE) == set(itertools.product(Peer, (False, True)))
    covered = {(peer, may_have_begun(state, peer, taken=taken)) for state, peer, taken, *_ in EXPECTED}
    assert covered == set(TABLE)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_what_has_ended_is_left_alone(state):
    for peer, running in itertools.product(Peer, (False, True)):
        assert decide_cancel(state, peer, taken=False, running=running) is Move.LEAVE


def test_a_wish_for_what_has_not_begun_never_ends_what_has():
    for peer, taken in itertools.product(Peer, (False, True)):
        assert decide_cancel(RUNNING, peer, taken=taken, running=False) is Move.LEAVE


def test_why_is_said_in_whole_sentences():
    assert "has begun" in why_left(RUNNING, THERE)
    assert "may have begun" in why_left(WAITING, PUBLISHED)


class TestPeer:
    NOW = 1000.0
    ours = EndpointRecord("e", "ada", "e", 0.0, metadata={"afield_wire": 2})
    published = EndpointRecord("e", "ada", "e", 0.0)
    there = UserEndpointRecord("u", "e", "ada", 0.0, last_report_at=990.0, heartbeat_period=30.0, active=True)
    silent = UserEndpointRecord("u", "e", "ada", 0.0, last_report_at=900.0, heartbeat_period=30.0, active=True)
    left = UserEndpointRecord("u", "e", "ada", 0.0, last_report_at=990.0, heartbeat_period=30.0, active=False)

    def test_ours(self):
        assert peer_of(self.ours, self.there, self.NOW) is THERE
        assert peer_of(self.ours, self.silent, self.NOW) is AWAY
        assert peer_of(self.ours, self.left, self.NOW) is AWAY

    def test_those_that_cannot_be_told(self):
        assert peer_of(self.published, self.there, self.NOW) is PUBLISHED
        assert peer_of(None, None, self.NOW) is PUBLISHED
