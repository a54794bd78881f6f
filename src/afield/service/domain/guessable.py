"""Passwords that are tried first by whoever guesses. PURE.

Theory. Guessers do not try characters: they try words that many people take, rows of keys, and what has to do with the
person or the place, one behind the other (NIST SP 800-63B section 5.1.1.2 asks to refuse such, and asks for nothing
else, such as digits among letters). So here each of these counts as one character, however long it is, and whatever is
repeated counts once. What is left of a password then is its *worth*; too little is refused, and the length alone is no
help. Letters that are written as digits or signs (``p@ssw0rd``) are read as letters, for guessers do so, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

__all__ = ["LEAST_WORTH", "worth_of"]

#: A password of less than this is guessed too easily.
LEAST_WORTH: Final = 8

#: Those that every published count of leaked passwords has at its top, as far as they are words.
_WORDS: Final = """
password passwort passwd pass letmein welcome iloveyou changeme default secret admin administrator root user
guest login test demo hello access master monkey dragon sunshine princess football baseball soccer superman
batman shadow michael jennifer jordan charlie ashley daniel whatever starwars pokemon trustno freedom computer
internet cheese cookie flower killer ninja summer winter spring autumn january monday afield globus compute
1q2w3e4r5t6y 1q2w3e4r 1qaz2wsx zaq12wsx q1w2e3r4
"""
#: As they lie on keyboards, and as they are learnt.
_ROWS: Final = ("1234567890", "qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm")
_SHORTEST_RUN: Final = 3
_AS_LETTERS: Final = str.maketrans("@4031$5!7", "aaoelssit")

_REPEATED: Final = re.compile(r"(.+?)\1+", re.DOTALL)


def worth_of(password: str, context: Iterable[str] = ()) -> int:
    """How many characters it is worth to somebody who guesses.

    :param context: what they know: names of the person and of the place; of these, parts count too
    """
    text = password.casefold()
    once = _REPEATED.fullmatch(text)
    if once is not None:
        text = once[1]
    known = {part for each in context for part in (each.casefold(), *re.split(r"[\W_]+", each.casefold()))}
    words = [*_WORDS.split(), *(each for each in known if len(each) >= _SHORTEST_RUN)]
    return sum(1 for _ in _pieces(text, words))


def _pieces(text: str, words: Iterable[str]) -> Iterable[int]:
    """Where each piece of a text begins: a word, a run, or else one character."""
    longest_first = sorted(words, key=len, reverse=True)
    read = text.translate(_AS_LETTERS)
    at = 0
    while at < len(text):
        yield at
        word = next((len(each) for each in longest_first if text.startswith(each, at) or read.startswith(each, at)), 0)
        at += max(word, _run(text, at), 1)


def _run(text: str, at: int) -> int:
    """How many characters from here on go by one step along a row or the alphabet, or stay the same; 0: too few."""
    best = 0
    for follows in (_same, _next, _previous):
        length = 1
        for one, other in pairwise(text[at:]):
            if not follows(one, other):
                break
            length += 1
        best = max(best, length)
    return best if best >= _SHORTEST_RUN else 0


def _same(one: str, other: str) -> bool:
    return one == other


def _next(one: str, other: str) -> bool:
    if ord(other) - ord(one) == 1 and one.isalnum():
        return True
    return any(one + other in row for row in _ROWS)


def _previous(one: str, other: str) -> bool:
    return _next(other, one)
