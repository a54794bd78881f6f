"""A user endpoint's process, the real one, over a journal, an outbox and queues that may die at a step.

Not a test: a manager runs it.
"""

from __future__ import annotations

import sys

import fault

from afield.endpoint.agent import __main__ as agent
from afield.endpoint.agent import queues
from afield.endpoint.agent.journal import Journal
from afield.endpoint.agent.outbox import Outbox
from afield.endpoint.agent.queues import Queues


class FaultyJournal(Journal):
    """What is written down before tasks begin, and when their results are safe."""

    def mark_begun(self, task_ids):
        fault.reach("agent: task here, not written down")
        super().mark_begun(task_ids)
        fault.reach("agent: task written down, not begun")

    def mark_settled(self, task_ids):
        fault.reach("agent: result confirmed, not written down")
        super().mark_settled(task_ids)
        fault.reach("agent: result written down, task not acknowledged")


class FaultyOutbox(Outbox):
    """Results on disk."""

    def keep(self, number, results):
        super().keep(number, results)
        fault.reach("agent: result on disk, service away")


_send_results = Queues.send_results


async def _faulty(self, body):
    fault.reach("agent: result here, not sent")
    await _send_results(self, body)


if __name__ == "__main__":
    queues.Link = fault.EagerLink
    agent.Journal, agent.Outbox, Queues.send_results = FaultyJournal, FaultyOutbox, _faulty
    sys.exit(agent.main())
