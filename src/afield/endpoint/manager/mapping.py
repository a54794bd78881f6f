"""The rules that map identities to accounts, from their file, with the programs that they name.

The file is looked at when a command comes. If it changed, it is read whole; if what is in it is wrong, or somebody else
might have written it, the rules from before stay, and the log says why. A command that is being decided keeps the rules
with which it began.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from afield.endpoint.manager.identity import Candidates, ExternalMapping, Rules, question, read_answer, read_rules
from afield.endpoint.manager.spawn import launched
from afield.errors import ConfigurationError

__all__ = ["IdentityMapper", "Match", "refuse_foreign_file"]

logger = logging.getLogger("afield.endpoint")

#: How long an external program may think, in seconds (published).
_PROGRAM_S: Final = 5.0
#: How many may run at once: whoever can ask for a user endpoint has one started, also somebody without an account.
_PROGRAMS_MOST: Final = 8
#: The most that it may answer, in bytes.
_ANSWER_MOST: Final = 1024 * 1024
#: All that a program gets from this process's environment: who knows what else is in there.
_PROGRAM_ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}


@dataclass(frozen=True, slots=True)
class Match:
    """The account of somebody.

    :param account: its name
    :param identity: the id of the identity that matched
    :param candidates: what each document of the rules said, up to the one that matched
    """

    account: str
    identity: str
    candidates: tuple[Candidates, ...]


class IdentityMapper:
    """Finds the account of whoever submits.

    :param path: the file of rules
    :param endpoint_id: told to external programs
    :raises ConfigurationError: the file cannot be used
    """

    def __init__(self, path: Path, endpoint_id: str) -> None:
        self._path, self._endpoint_id = path, endpoint_id
        self._seen: tuple[int, ...] | None = None
        self._rules: Rules = ()
        self._programs = asyncio.Semaphore(_PROGRAMS_MOST)
        self._read()

    async def match(self, identities: Sequence[Mapping[str, Any]]) -> Match | None:
        """The first match; None: there is none.

        :raises ConfigurationError: a program that the rules name failed; what comes after it in the rules is not
            tried, for that could be another account than the program would have said
        """
        self._renew()
        candidates: list[Candidates] = []
        for rule in self._rules:
            if isinstance(rule, ExternalMapping):
                found = await self._ask(rule, identities)
            else:
                found = rule.candidates(identities)
            candidates.append(found)
            if found:
                identity, accounts = next(iter(found[0].items()))
                return Match(accounts[0], identity, tuple(candidates))
        return None

    # --- the file

    def _renew(self) -> None:
        try:
            if self._signature() == self._seen:
                return
            self._read()
        except (ConfigurationError, OSError) as error:
            logger.error("the identity mapping stays as it was: %s", str(error).strip())  # noqa: TRY400 - one line
        else:
            logger.info("the identity mapping was read anew from %s", self._path)

    def _read(self) -> None:
        try:
            # Remembered before reading: what is written meanwhile is read at the next command.
            self._seen = self._signature()
            refuse_foreign_file(self._path)
            text = self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{self._path}, the identity mapping, cannot be read: {error}") from error
        self._rules = read_rules(text, str(self._path))

    def _signature(self) -> tuple[int, ...]:
        state = self._path.stat()
        return state.st_dev, state.st_ino, state.st_mtime_ns, state.st_ctime_ns, state.st_size

    # --- programs

    async def _ask(self, rule: ExternalMapping, identities: Sequence[Mapping[str, Any]]) -> Candidates:
        name = rule.command[0]
        try:
            _refuse_foreign_program(rule.command)
            async with self._programs:
                answer = await _run(rule.arguments(self._endpoint_id), question(identities))
            return read_answer(answer, identities)
        except (ConfigurationError, OSError) as error:
            raise ConfigurationError(
                f"the program {name}, which says whose account is whose here, failed: {str(error).strip()}. Try again; "
                "if that does not help, tell the administrator of this endpoint"
            ) from error


def _refuse_foreign_program(command: Sequence[str]) -> None:
    """What a command names runs as who we are: nobody else may be able to change it."""
    for word in command:
        if word.startswith("/") and Path(word).is_file():
            refuse_foreign_file(Path(word))


async def _run(command: Sequence[str], said: bytes) -> bytes:
    process = await launched(
        command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd="/",
        env=_PROGRAM_ENVIRONMENT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_PROGRAM_S):
            answer = await _talk(process, said)
            code = await process.wait()
    except TimeoutError as error:
        raise ConfigurationError(f"it did not answer within {_PROGRAM_S:.0f} s") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if code:
        raise ConfigurationError(f"it ended with exit status {code}")
    return answer


async def _talk(process: asyncio.subprocess.Process, said: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may know without reading
        process.stdin.write(said)
        await process.stdin.drain()
    process.stdin.close()
    answer = b""
    while more := await process.stdout.read(65_536):
        answer += more
        if len(answer) > _ANSWER_MOST:
            raise ConfigurationError(f"it answered more than {_ANSWER_MOST} bytes")
    return answer


def refuse_foreign_file(path: Path) -> None:
    """A file that decides about accounts must be the administrator's: nobody else may be able to change it.

    :raises ConfigurationError: others may write it, or own it
    :raises OSError: it is not there
    """
    for place in (path.resolve(strict=True), *path.resolve().parents):
        state = place.stat()
        others = state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        kept = stat.S_ISDIR(state.st_mode) and state.st_mode & stat.S_ISVTX  # as /tmp: each only what is theirs
        if state.st_uid not in (0, os.geteuid()) or (others and not kept):
            raise ConfigurationError(
                f"{path} decides whose account is whose, and {place} can be changed by others than root: "
                f"`chown root {place}; chmod go-w {place}`"
            )
