"""PURE: what to ask a batch scheduler about one job that ended, and what its answer means for people.

Parsl asks only whether a job waits, runs or is over, and where ``squeue`` answers not even how it ended. Schedulers
remember more for a while. What they say is passed on in their own words: those are what an owner looks up.
"""

from __future__ import annotations

import re
import shlex
from typing import Final, NamedTuple

__all__ = ["question", "said"]


class _Scheduler(NamedTuple):
    """How one is asked."""

    command: str
    #: what is passed on of its answer
    telling: re.Pattern[str]


_SCHEDULERS: Final = {
    "SlurmProvider": _Scheduler(
        "scontrol show job --oneliner {job}", re.compile(r"\b(?:JobState|Reason|ExitCode|NodeList|TimeLimit)=[^\s(]\S*")
    ),
    "PBSProProvider": _Scheduler(
        "qstat -x -f {job}", re.compile(r"^ *(?:job_state|comment|Exit_status|exec_host) = .*", re.MULTILINE)
    ),
    "LSFProvider": _Scheduler("bjobs -a -noheader -o 'stat exit_code exit_reason exec_host' {job}", re.compile(r".+")),
}

#: More than this is not passed on, in characters.
_MOST: Final = 500


def question(provider: str, job_id: str) -> str | None:
    """A shell command that asks about a job; None: nobody knows one.

    :param provider: the name of a class of Parsl
    """
    scheduler = _SCHEDULERS.get(provider)
    return scheduler.command.format(job=shlex.quote(job_id)) if scheduler is not None else None


def said(provider: str, answer: str) -> str:
    """What the answer says, in one line."""
    scheduler = _SCHEDULERS.get(provider)
    if scheduler is None:
        return ""
    found = [" ".join(part.split()) for part in scheduler.telling.findall(answer)]
    return ", ".join(part for part in found if not part.endswith("=None"))[:_MOST]
