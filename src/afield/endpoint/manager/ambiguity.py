"""PURE: whether an expression of the identity mapping could keep the endpoint busy for ever.

Theory. Python looks for a match by trying one way after another. Where a repeated group can match the same text in
several ways, such as ``(a*)*`` or ``(.*x)*``, those ways multiply with each round, and a text that does not match in
the end is tried in all of them: with 30 letters that takes minutes, with 50 it takes centuries, in which the endpoint
does nothing else. Whoever chooses such a text stops it.

So: every character of the expression is a *position*, and ``follows`` says how many ways lead from one to another, as
in the automaton of Glushkov. The ways multiply if two different ones lead around from a position to itself with the
same text. Either a step on that round can be made in two ways, or two walkers who begin at one position and read the
same text can be at different ones and meet again where they began (Weber and Seidl, 1991: exponential ambiguity).

Ways that only add up, as in ``(.*)@(.*)``, are fine: texts are short.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

__all__ = ["multiplies"]

#: What stands for every character.
_ANY = ""

T = TypeVar("T")
_Pair: TypeAlias = tuple[int, int]


def multiplies(match: str, *, ignore_case: bool = False) -> bool:
    """Whether the ways in which an expression can match multiply.

    :param match: in the small language of :mod:`afield.endpoint.manager.identity`, found right there
    """
    if ")*" not in match:
        return False  # what one character repeats, it repeats in one way
    made = _Automaton(iter(match.lower() if ignore_case else match))
    made.alternatives()
    return made.splits()


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of an expression: whether it matches nothing at all, and the positions at which it can begin and end."""

    empty: bool
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()


@dataclass(slots=True)
class _Automaton:
    """Reads an expression from left to right.

    :param follows: from position to position, in how many ways
    """

    rest: Iterator[str]
    symbols: list[str] = field(default_factory=list)
    follows: Counter[tuple[int, int]] = field(default_factory=Counter)

    def alternatives(self) -> _Part:
        """All up to the end, or to the bracket that closes a group."""
        found: list[_Part] = []
        parts: list[_Part] = []
        for character in self.rest:
            match character:
                case ")":
                    break
                case "|":
                    found.append(self._chain(parts))
                    parts = []
                case "*":
                    parts[-1] = self._repeated(parts[-1])
                case "?":
                    parts[-1] = _Part(empty=True, first=parts[-1].first, last=parts[-1].last)
                case "(":
                    parts.append(self.alternatives())
                case _:
                    parts.append(self._one(character))
        found.append(self._chain(parts))
        first = tuple(at for one in found for at in one.first)
        last = tuple(at for one in found for at in one.last)
        return _Part(any(one.empty for one in found), first, last)

    def _one(self, character: str) -> _Part:
        if character != "\\":
            return self._position(_ANY if character == "." else character)
        escaped = next(self.rest)
        if not escaped.isdecimal():
            return self._position(escaped)
        # The same as a group before: any text, as far as is known here.
        return self._repeated(self._position(_ANY))

    def _position(self, symbol: str) -> _Part:
        self.symbols.append(symbol)
        at = (len(self.symbols) - 1,)
        return _Part(empty=False, first=at, last=at)

    def _repeated(self, part: _Part) -> _Part:
        self._join(part.last, part.first)
        return _Part(empty=True, first=part.first, last=part.last)

    def _chain(self, parts: Iterable[_Part]) -> _Part:
        made = _Part(empty=True)
        for part in parts:
            self._join(made.last, part.first)
            made = _Part(
                made.empty and part.empty,
                made.first + part.first if made.empty else made.first,
                made.last + part.last if part.empty else part.last,
            )
        return made

    def _join(self, ends: Iterable[int], begins: tuple[int, ...]) -> None:
        self.follows.update((end, begin) for end in ends for begin in begins)

    def splits(self) -> bool:
        """Whether two ways lead around."""
        after: dict[int, set[int]] = {}
        before: dict[int, set[int]] = {}
        for here, there in self.follows:
            after.setdefault(here, set()).add(there)
            before.setdefault(there, set()).add(here)
        # Each position with those that are on a round with it; there are few, or the pairs below would be too many.
        rounds = [_both(at, _steps(after), _steps(before)) for at in range(len(self.symbols))]
        if any(ways > 1 and there in rounds[here] for (here, there), ways in self.follows.items()):
            return True
        for at, around in enumerate(rounds):
            ways = _both((at, at), self._pairs(after, around), self._pairs(before, around))
            if any(one != other for one, other in ways):
                return True
        return False

    def _pairs(self, steps: Mapping[int, set[int]], around: set[int]) -> Callable[[_Pair], list[_Pair]]:
        """Where two walkers can get who read the same character, and stay on a round."""

        def made(at: _Pair) -> list[_Pair]:
            ones, others = (steps.get(walker, set()) & around for walker in at)
            return [(one, other) for one in ones for other in others if self._meet(one, other)]

        return made

    def _meet(self, one: int, other: int) -> bool:
        """Whether both can read the same character."""
        return _ANY in (self.symbols[one], self.symbols[other]) or self.symbols[one] == self.symbols[other]


def _steps(to: Mapping[int, set[int]]) -> Callable[[int], Iterable[int]]:
    return lambda at: to.get(at, ())


def _both(start: T, forth: Callable[[T], Iterable[T]], back: Callable[[T], Iterable[T]]) -> set[T]:
    """All that lie on a way from the start to itself, the start among them."""
    ahead: set[T] = _reached(start, forth)
    behind: set[T] = _reached(start, back)
    return ahead & behind


def _reached(start: T, steps: Callable[[T], Iterable[T]]) -> set[T]:
    """All that some steps lead to, the start among them."""
    seen, line = {start}, deque([start])
    while line:
        for place in steps(line.popleft()):
            if place not in seen:
                seen.add(place)
                line.append(place)
    return seen
