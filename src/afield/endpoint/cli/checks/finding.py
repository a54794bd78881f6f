"""One line of the doctor's."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Finding", "failed", "ok", "warning"]


class Finding(msgspec.Struct, frozen=True):
    """What was looked at, and what was seen.

    :param about: in one or two words
    :param level: ``warning``: it works, or will not for long
    :param text: what was seen
    :param todo: what to do next; empty where nothing is
    """

    about: str
    level: Literal["ok", "warning", "failed"]
    text: str
    todo: str = ""


def ok(about: str, text: str) -> Finding:
    """All is well."""
    return Finding(about, "ok", text)


def warning(about: str, text: str, todo: str) -> Finding:
    """It works, or may."""
    return Finding(about, "warning", text, todo)


def failed(about: str, text: str, todo: str) -> Finding:
    """It does not work."""
    return Finding(about, "failed", text, todo)
