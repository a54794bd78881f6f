"""Where to show how far something is: a terminal (with rich where it is installed), a notebook, a log, or nowhere.

None of them fails for lack of anything: what cannot be shown is not shown.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from dataclasses import dataclass
from html import escape
from importlib import import_module
from typing import Any, Final, Protocol, TextIO

__all__ = ["Display", "Lines", "Notebook", "Rewritten", "Silent", "Tally", "WithRich", "pick_display"]

#: Seconds between two drawings where people look on, and between two lines of a log.
_LIVELY_S: Final = 0.1
_SPARSE_S: Final = 10.0
_BAR: Final = 24


@dataclass(slots=True)
class Tally:
    """How far it is."""

    total: int | None
    label: str
    #: by the monotonic clock
    began: float
    done: int = 0
    failed: int = 0

    @property
    def ended(self) -> int:
        """Well or not."""
        return self.done + self.failed

    @property
    def share(self) -> float | None:
        """How much of all has ended, 0 to 1; None: it is not known how much that is."""
        if self.total is None:
            return None
        return min(1.0, self.ended / self.total) if self.total else 1.0

    def said(self, now: float) -> str:
        """In words: ``120/1000 done, 2 failed, 14.2/s, 1:02 left``."""
        of = "" if self.total is None else f"/{self.total}"
        parts = [f"{self.ended}{of} done"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        took = now - self.began
        if self.ended and took > 0:
            rate = self.ended / took
            parts.append(_pace(rate))
            if self.total is not None and self.ended < self.total:
                parts.append(f"{_duration((self.total - self.ended) / rate)} left")
        if self.total is None or self.ended >= self.total:
            parts.append(f"{_duration(took)} so far" if self.total is None else f"took {_duration(took)}")
        return ", ".join(parts)

    def line(self, now: float, *, bar: bool) -> str:
        """All in one line of text."""
        drawn = ""
        if bar and self.share is not None:
            full = int(self.share * _BAR)
            drawn = f"[{'#' * full}{'.' * (_BAR - full)}] "
        return f"{self.label}{': ' if self.label else ''}{drawn}{self.said(now)}"


class Display(Protocol):
    """Where a tally is shown. All but its making happens in one thread; OSError and ValueError mean that it is gone."""

    #: seconds between two drawings; 0: nothing is ever drawn
    every_s: float

    def draw(self, tally: Tally, now: float) -> None:
        """Show how far it is."""

    def end(self, tally: Tally, now: float) -> None:
        """Show how far it came, and leave the place to others."""

    def release(self) -> None:
        """Let go of the place, drawn or not."""


class Silent:
    """There is nobody to show anything to."""

    every_s = 0.0

    def draw(self, tally: Tally, now: float) -> None:
        """Nothing."""

    def end(self, tally: Tally, now: float) -> None:
        """Nothing."""

    def release(self) -> None:
        """Nothing."""


class Lines:
    """A line now and then, where stderr is a file or goes to a log."""

    every_s = _SPARSE_S

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = -1

    def draw(self, tally: Tally, now: float) -> None:
        """A line, if anything has ended since the last."""
        if tally.ended != self._shown:
            self._shown = tally.ended
            self._stream.write(tally.line(now, bar=False) + "\n")
            self._stream.flush()

    def end(self, tally: Tally, now: float) -> None:
        """The last line."""
        self._shown = -1
        self.draw(tally, now)

    def release(self) -> None:
        """Nothing."""


class Rewritten:
    """One line of a terminal, written again and again."""

    every_s = _LIVELY_S

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._width = 0

    def draw(self, tally: Tally, now: float) -> None:
        """Over what was there."""
        # One column stays free: some terminals begin a new line as soon as the last one is written to.
        text = tally.line(now, bar=True)[: max(_columns(self._stream) - 1, 1)]
        # Spaces, and no control sequence: that is understood everywhere.
        self._stream.write(f"\r{text}{' ' * (self._width - len(text))}")
        self._stream.flush()
        self._width = len(text)

    def end(self, tally: Tally, now: float) -> None:
        """The last time, and on to the next line."""
        self.draw(tally, now)
        self._stream.write("\n")
        self._stream.flush()

    def release(self) -> None:
        """The terminal is another's."""
        _terminal.release()


class WithRich:
    """The bar of rich."""

    every_s = _LIVELY_S

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        # What is counted is text of people; rich would read square brackets in it.
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[said]}", markup=False),
        )
        # It hides the cursor and stands between people and their stdout; it does not start before the first drawing.
        self._progress = Progress(*columns, console=Console(file=stream), auto_refresh=False)
        self._task: Any = None

    def draw(self, tally: Tally, now: float) -> None:
        """As it is now."""
        said = tally.said(now)
        if self._task is None:
            self._task = self._progress.add_task(tally.label, total=tally.total, said=said)
            self._progress.start()
        self._progress.update(self._task, completed=tally.ended, said=said, refresh=True)

    def end(self, tally: Tally, now: float) -> None:
        """The last time."""
        self.draw(tally, now)

    def release(self) -> None:
        """The cursor is back."""
        try:
            self._progress.stop()
        finally:
            _terminal.release()


class Notebook:
    """An output of the cell that began it."""

    every_s = 0.5

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, tally: Tally, now: float) -> None:
        """In the place of what was there."""
        display = import_module("IPython.display").display
        bundle = {"text/plain": tally.line(now, bar=True), "text/html": _html(tally, now)}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)

    def end(self, tally: Tally, now: float) -> None:
        """The last time."""
        self.draw(tally, now)

    def release(self) -> None:
        """Nothing."""


#: Held by whoever rewrites the terminal's last line. Two would write over one another.
_terminal = threading.Lock()


def pick_display() -> Display:
    """What suits the place that this program writes to."""
    if _in_notebook():
        return Notebook()
    stream = sys.stderr
    if stream is None or stream.closed:
        return Silent()
    if not stream.isatty() or os.environ.get("TERM") == "dumb" or not _terminal.acquire(blocking=False):
        return Lines(stream)
    try:
        return WithRich(stream)
    except ImportError:
        return Rewritten(stream)


def _in_notebook() -> bool:
    """Whether this is a kernel, whose outputs are drawn by a browser."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def _html(tally: Tally, now: float) -> str:
    share = tally.share
    value = "" if share is None else f' value="{share:.4f}"'
    label = f"{escape(tally.label)} " if tally.label else ""
    return f"<div>{label}<progress max=1{value}></progress> {escape(tally.said(now))}</div>"


def _columns(stream: TextIO) -> int:
    try:
        found = os.get_terminal_size(stream.fileno()).columns  # some do not know, and say 0
    except (OSError, ValueError):
        found = 0
    return found or shutil.get_terminal_size().columns


def _pace(rate: float) -> str:
    if rate >= 1:
        return f"{rate:.1f}/s"
    return f"{rate * 60:.1f}/min" if rate * 60 >= 1 else f"{rate * 3600:.1f}/h"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
