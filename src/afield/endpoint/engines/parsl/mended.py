"""What has to be mended in Parsl's providers, so that no block is believed to run for ever."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["mend"]

#: What ``squeue`` says, with an exit status, when it is asked about one job that Slurm has forgotten.
_FORGOTTEN: Final = "Invalid job id"


def mend(provider: Any) -> None:
    """Mend a provider that is to be used.

    Without accounting, Parsl asks ``squeue``. Slurm forgets a job ``MinJobAge`` seconds after its end, which is less
    than a minute on some busy clusters; asked about that one alone ``squeue`` then fails, and Parsl takes the failure
    for one of the scheduler and believes what it knew before: that the job runs. It is answered that there is no such
    job, which Parsl takes for its end.
    """
    if type(provider).__name__ != "SlurmProvider":
        return
    ask = provider.execute_wait

    def execute_wait(cmd: str, timeout: float | None = None) -> tuple[int, str, str]:
        code, said, complaint = ask(cmd, timeout)
        if code and cmd.startswith("squeue") and _FORGOTTEN in complaint:
            return 0, said, ""
        return code, said, complaint

    provider.execute_wait = execute_wait
