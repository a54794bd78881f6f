"""The process of a user endpoint that runs as a mapped account, as its manager, which is root, holds it.

The manager starts :mod:`afield.endpoint.manager.become`, which becomes the account and executes
:mod:`afield.endpoint.manager.seat`. That renders the template and answers; the manager reads the answer, puts its own
decisions over it, and sends what every user endpoint is told first. What is secret goes through the pipe only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from afield.endpoint.agent.orders import HEADER, Start, encode_order
from afield.endpoint.manager.accounts import Account, environment_of
from afield.endpoint.manager.errand import Errand, Seated, framed
from afield.endpoint.manager.spawn import TAIL_MOST, UserProcess, last_words, launched
from afield.endpoint.settings import PamSettings, UserLimits
from afield.errors import ConfigurationError

__all__ = ["Become", "Lodger"]

_BECOME: Final = (sys.executable, "-I", "-m", "afield.endpoint.manager.become")
_SEAT: Final = ("-I", "-m", "afield.endpoint.manager.seat")
#: The longest answer of a process of an account, and the most words of it that are kept, in bytes.
_ANSWER_MOST: Final = 1024 * 1024
_WORDS_MOST: Final = 8_000
#: How long the keeper of a PAM session may take to close it, and a log to be shown, in seconds.
_CLOSE_S: Final = 5.0
_TAIL_S: Final = 5.0
#: How long an account's process may take to answer, in seconds: its home may have to be mounted first.
_ANSWER_S: Final = 120.0


class Become(msgspec.Struct, frozen=True):
    """What :mod:`afield.endpoint.manager.become` reads first.

    :param environment: all of it
    :param site: names in it that the administrator wrote: a PAM session may change the others
    :param argv: what to execute at the end
    :param limits: by the names of ``user_limits``; None: as the manager has it
    :param pam_service: None: no PAM session, and no way to gain any rights
    """

    name: str
    uid: int
    gid: int
    home: str
    environment: dict[str, str]
    site: tuple[str, ...]
    argv: tuple[str, ...]
    limits: dict[str, int | None]
    pam_service: str | None
    #: the manager's number of the descriptor that becomes 3; all others are closed
    audit: int | None = None

    @classmethod
    def of(
        cls,
        account: Account,
        given: Mapping[str, str],
        limits: UserLimits,
        pam: PamSettings,
        outward: Mapping[str, str] | None = None,
    ) -> Become:
        """An account, with what an administrator decided about all of them.

        :param given: environment variables
        :param outward: more of them, which the machine needs to reach the world
        """
        return cls(
            name=account.name,
            uid=account.uid,
            gid=account.gid,
            home=account.home,
            environment=environment_of(account, {**(outward or {}), **given}),
            site=tuple(given),
            argv=(),
            limits=msgspec.to_builtins(limits),
            pam_service=pam.service_name if pam.enable else None,
        )


class Lodger(UserProcess):
    """A user endpoint's process, of an account.

    :param become: whose it is, and what it finds
    :param errand: what the account's process does first
    :param start_of: makes the first order of the answer; raises ConfigurationError if it must not start
    :param answer_within_s: how long the account's process may take to answer, in seconds
    """

    def __init__(
        self,
        become: Become,
        errand: Errand,
        start_of: Callable[[Seated], Start],
        answer_within_s: float = _ANSWER_S,
    ) -> None:
        super().__init__(errand.name, b"")
        self._answer_within_s = answer_within_s
        self._become, self._errand, self._start_of = become, errand, start_of
        self._python = sys.executable
        self._seated: Seated | None = None
        self._words = b""

    async def run(self, environment: Mapping[str, str], command: Sequence[str]) -> int:
        """As :meth:`UserProcess.run`.

        :param environment: not used: what the account finds is told at its making
        :param command: of which only the Python is used
        :raises ConfigurationError: the account's process ended, or was ended, before there was a user endpoint
        """
        del environment
        self._python = command[0]
        seat = _SEAT if self.audit is None else (*_SEAT, "audited")
        process = self._process = await self._launch(self._order(seat, audit=self.audit), framed(self._errand))
        self.started()
        if self._killed:
            self.kill()
        waiting = asyncio.create_task(process.wait())
        listening = asyncio.create_task(self._listen(process.stderr))
        try:
            await self._seat(process)
            code = await waiting
        except BaseException:
            self.kill()
            await waiting
            raise
        finally:
            if self._seated is None:
                await asyncio.wait([listening], timeout=1.0)
            listening.cancel()
            if process.stdin is not None:
                process.stdin.close()
        if self._seated is None:
            raise ConfigurationError(self._first_words() or f"its process ended at once, with status {code}")
        return code

    async def _seat(self, process: asyncio.subprocess.Process) -> None:
        """Hear the answer, and tell the user endpoint how to start."""
        assert process.stdout is not None
        try:
            async with asyncio.timeout(self._answer_within_s):
                (size,) = HEADER.unpack(await process.stdout.readexactly(HEADER.size))
                if size > _ANSWER_MOST:
                    raise ConfigurationError("its settings are too long")
                answer = await process.stdout.readexactly(size)
            seated = msgspec.json.decode(answer, type=Seated)
        except TimeoutError as error:
            raise ConfigurationError(
                f"the account {self._become.name} was not ready for a user endpoint within "
                f"{self._answer_within_s:g} s: can its home directory, {self._become.home}, be read, and is agent.log "
                "of that user endpoint a plain file?"
            ) from error
        except asyncio.IncompleteReadError:
            return  # it says why on its other descriptor
        except msgspec.MsgspecError as error:
            raise ConfigurationError(f"the account's process answered with something else ({error})") from error
        start = self._start_of(seated)
        self._seated = seated
        unsaid, self._unsaid = self._unsaid, []
        for frame in (encode_order(start), *unsaid):
            self._write(frame)

    @property
    def _open(self) -> bool:
        """Whether orders go out at once: what is said before the first one waits."""
        return self._seated is not None

    def kill(self) -> None:
        """End it and what it started, now; a PAM session is closed first, if that does not take long."""
        self._killed = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        if self._become.pam_service is None:
            super().kill()
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)  # its keeper ends the group and closes the session
        asyncio.get_running_loop().call_later(_CLOSE_S, super().kill)

    async def tail(self) -> str:
        """As :meth:`UserProcess.tail`, read by a process of the account: the file is theirs, and may be a link."""
        if self._seated is None:
            return self._first_words()
        order = self._order((*_SEAT, "tail", self._errand.name, str(self._seated.log_from)), pam=False)
        process = await self._launch(order)
        try:
            async with asyncio.timeout(_TAIL_S):
                assert process.stdout is not None
                told = await process.stdout.read(4 * TAIL_MOST)
                await process.wait()
        except TimeoutError:
            return ""
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        return told.decode(errors="replace")[-TAIL_MOST:]

    def _order(self, module: Sequence[str], *, pam: bool = True, audit: int | None = None) -> bytes:
        become = msgspec.structs.replace(
            self._become,
            audit=audit,
            argv=(self._python, *module),
            pam_service=self._become.pam_service if pam else None,
        )
        return framed(become)

    async def _launch(self, *frames: bytes) -> asyncio.subprocess.Process:
        process = await launched(
            (*_BECOME, self.name),  # the name is for whoever lists processes
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd="/",
            env={},
            start_new_session=True,
            pass_fds=() if self.audit is None else (self.audit,),
        )
        assert process.stdin is not None
        for frame in frames:
            process.stdin.write(frame)
        return process

    async def _listen(self, stream: asyncio.StreamReader | None) -> None:
        """Keep the first words, and take the others away, so that nobody waits for room."""
        assert stream is not None
        while more := await stream.read(4096):
            self._words = (self._words + more)[:_WORDS_MOST]

    def _first_words(self) -> str:
        return last_words(self._words.decode(errors="replace"))
