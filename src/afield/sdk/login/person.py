"""Whoever logs in, and what is in front of them.

What every :class:`Person` promises: ``tell`` shows it before it returns; ``ask`` returns what was typed, stripped, and
raises EOFError when nobody will ever type anything; ``open`` says whether a browser was started, not whether it came
there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final, Protocol

__all__ = ["Person", "Terminal", "has_browser", "is_attended"]

#: Browsers of the terminal itself would take it over.
_IN_TERMINAL: Final = frozenset({"www-browser", "w3m", "links", "elinks", "lynx"})


class Person(Protocol):
    """Somebody to whom things can be said."""

    def tell(self, text: str) -> None:
        """Show it."""

    def ask(self, prompt: str) -> str:
        """What they type.

        :raises EOFError: nobody is there
        """

    def open(self, url: str) -> bool:
        """Show a page in a browser of theirs; whether one was started."""


class Terminal:
    """Somebody at this terminal, or at this notebook. What is told goes where it is in nobody's way: standard error."""

    def tell(self, text: str) -> None:
        """Print it."""
        print(text, file=sys.stderr, flush=True)

    def ask(self, prompt: str) -> str:
        """Read a line."""
        if _in_notebook():
            return input(prompt).strip()  # the kernel shows a field for it
        print(prompt, end="", file=sys.stderr, flush=True)
        return input().strip()

    def open(self, url: str) -> bool:
        """Start the desktop's browser."""
        import threading
        import webbrowser

        try:
            browser = webbrowser.get()
        except webbrowser.Error:
            return False
        # Some are waited for until they are closed, and the page that ends the login must answer before that.
        threading.Thread(target=browser.open, args=(url,), daemon=True).start()
        return True


def has_browser(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a browser on this very machine can be shown to whoever sits here."""
    if _in_notebook() or environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"):
        return False
    if sys.platform not in {"darwin", "win32"} and not (environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")):
        return False
    import webbrowser

    try:
        return getattr(webbrowser.get(), "basename", "") not in _IN_TERMINAL
    except webbrowser.Error:
        return False


def is_attended() -> bool:
    """Whether somebody can be asked: at a terminal, or in a notebook."""
    return _in_notebook() or (sys.stdin is not None and sys.stdin.isatty())


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules
