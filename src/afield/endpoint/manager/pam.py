"""A PAM session for an account, by the C library of the system. Needs Linux (libpam).

Nobody is asked for a password: the service has said who somebody is. What PAM is asked is whether the account may be
used (``account``), and what a session of it begins and ends with (``session``, and ``setcred`` of ``auth``): limits,
mounted homes, groups, a place in the list of sessions.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final

__all__ = ["PamError", "Session"]

#: From security/_pam_types.h.
_SUCCESS: Final = 0
_CONV_ERR: Final = 19
_BUF_ERR: Final = 5
_ESTABLISH_CRED: Final = 2
_DELETE_CRED: Final = 4
_ERROR_MSG: Final = 3
_TEXT_INFO: Final = 4


class PamError(Exception):
    """PAM said no."""


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class _Response(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


_Talk = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.POINTER(_Message)), ctypes.POINTER(ctypes.POINTER(_Response)),
    ctypes.c_void_p,
)  # fmt: skip


class _Conversation(ctypes.Structure):
    _fields_ = (("talk", _Talk), ("data", ctypes.c_void_p))


class Session:
    """A session, open inside ``with``; that gives the environment which its modules made.

    :param service: the file in /etc/pam.d
    :param user: the account
    :param before_credentials: called when the account is found to be open, to set its groups: modules add to those
    """

    def __init__(self, service: str, user: str, before_credentials: Callable[[], None]) -> None:
        name = ctypes.util.find_library("pam") or "libpam.so.0"
        try:
            self._pam = ctypes.CDLL(name)
        except OSError as error:
            raise PamError(f"libpam is not installed, and pam is enabled in config.yaml ({error})") from error
        self._libc = ctypes.CDLL(None)
        self._libc.calloc.restype = ctypes.c_void_p
        self._libc.calloc.argtypes = (ctypes.c_size_t, ctypes.c_size_t)
        self._pam.pam_strerror.restype = ctypes.c_char_p
        self._pam.pam_getenvlist.restype = ctypes.POINTER(ctypes.c_char_p)
        self._service, self._user, self._before_credentials = service, user, before_credentials
        self._handle = ctypes.c_void_p()
        self._said: list[str] = []
        self._conversation = _Conversation(_Talk(self._talk), None)  # the library keeps a pointer to it
        self._established = self._opened = False

    def __enter__(self) -> Mapping[str, str]:
        """Check the account, and open.

        :raises PamError: at the first thing that is refused; what was done before is undone
        """
        if "/" in self._service:
            raise PamError(f"{self._service!r} cannot be the name of a PAM service")
        started = self._pam.pam_start(
            self._service.encode(), self._user.encode(), ctypes.byref(self._conversation), ctypes.byref(self._handle)
        )
        if started != _SUCCESS:
            raise PamError(f"the PAM service {self._service} cannot be used (error {started})")
        try:
            self._ask("acct_mgmt", 0)
            self._before_credentials()
            self._ask("setcred", _ESTABLISH_CRED)
            self._established = True
            self._ask("open_session", 0)
            self._opened = True
            return self._environment()
        except BaseException:
            self._end()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what was opened."""
        self._end()

    def _end(self) -> None:
        status = _SUCCESS
        if self._opened:
            status = self._pam.pam_close_session(self._handle, 0)
        if self._established:
            status = self._pam.pam_setcred(self._handle, _DELETE_CRED) or status
        self._pam.pam_end(self._handle, status)
        self._opened = self._established = False

    def _ask(self, what: str, flags: int) -> None:
        status = getattr(self._pam, f"pam_{what}")(self._handle, flags)
        if status != _SUCCESS:
            why = (self._pam.pam_strerror(self._handle, status) or b"").decode(errors="replace")
            more = "".join(f" ({line})" for line in self._said)
            raise PamError(f"PAM service {self._service}, {what}: {why}{more}")

    def _environment(self) -> dict[str, str]:
        made: dict[str, str] = {}
        listed = self._pam.pam_getenvlist(self._handle)
        place = 0
        while listed and listed[place]:  # freed with the process, which ends with the session
            name, _, value = listed[place].decode(errors="surrogateescape").partition("=")
            made[name] = value
            place += 1
        return made

    def _talk(self, count: int, messages: Any, responses: Any, _data: Any) -> int:
        """What modules say is kept; what they ask, nobody is there to answer."""
        for place in range(count):
            message = messages[place].contents
            if message.style not in (_ERROR_MSG, _TEXT_INFO):
                return _CONV_ERR
            self._said.append((message.text or b"").decode(errors="replace").strip())
        answers = self._libc.calloc(count, ctypes.sizeof(_Response))
        if not answers:
            return _BUF_ERR
        responses[0] = ctypes.cast(answers, ctypes.POINTER(_Response))  # the library frees it
        return _SUCCESS
