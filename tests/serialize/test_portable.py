"""Source that needs nothing else: right, or refused with the reason."""

from __future__ import annotations

import json
import os.path
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from afield.errors import SerializationError
from afield.serialize import ComputeSerializer
from afield.serialize.portable import portable, portable_source

AFTER = """
from afield.serialize.portable import portable
from afield.errors import SerializationError
import sys
try:
    sys.stdout.write(portable(submitted))
except SerializationError as error:
    sys.stdout.write(f"refused: {error}")
"""


@pytest.fixture
def sent(tmp_path: Path) -> Callable[..., str]:
    """What a script sends of what it calls ``submitted``."""

    def send(source: str, *, after: str = "") -> str:
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(source) + textwrap.dedent(after) + AFTER)
        done = subprocess.run([sys.executable, script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return send


def test_what_is_needed_comes_in_an_order_that_works(sent: Callable[..., str]) -> None:
    payload = sent(
        '''
        import json as j
        from os.path import join
        class Base:
            scale = 2
        class Derived(Base):
            """Text
        that goes over lines."""
            def __init__(self, x=len("ab") and 3):
                self.x = x
            def of(self):
                return late(self.x) * self.scale
        def late(x): return x + LIMIT
        LIMIT = 4
        def submitted(kind=Derived): return j.loads("1"), join("a", "b"), kind().of(), Derived.__doc__
        '''.replace('x=len("ab") and 3', "x=3")
    )
    made = ComputeSerializer().deserialize(payload)
    assert made() == (1, "a/b", 14, "Text\nthat goes over lines.")


def test_two_names_of_one_object_stay_one(sent: Callable[..., str]) -> None:
    source = "A = []\nB = {'a': A}\ndef submitted():\n A.append(1)\n return B\n"
    assert ComputeSerializer().deserialize(sent(source))() == {"a": [1]}


def test_data_goes_as_it_is_now(sent: Callable[..., str]) -> None:
    source = "A = [1]\nN = 1\ndef submitted(): return A, N\n"
    assert ComputeSerializer().deserialize(sent(source, after="A.append(2); N = 5\n"))() == ([1, 2], 5)


def test_a_function_inside_another_keeps_its_texts(sent: Callable[..., str]) -> None:
    source = """
    def outer():
        def inner():
            return '''two
        lines'''
        return inner
    submitted = outer()
    """
    assert ComputeSerializer().deserialize(sent(source))() == "two\n    lines"


def test_a_lambda_on_its_own_line_goes(sent: Callable[..., str]) -> None:
    assert ComputeSerializer().deserialize(sent("N = 2\nsubmitted = (lambda x:\n  x + N)\n"))(1) == 3


def test_the_text_is_readable_and_says_the_function_itself(sent: Callable[..., str]) -> None:
    payload = sent("import math as m\nN = 2\ndef submitted(x):  # as written\n    return m.sqrt(x) * N\n")
    assert payload.splitlines() == [
        "st",
        "submitted:import math as m",
        "N = 2",
        "def submitted(x):  # as written",
        "    return m.sqrt(x) * N",
    ]


#: scripts, each with what is said of it
CASES = """
### two lambdas in a line: has more than one <lambda>
submitted, other = lambda: 1, lambda: 2
### a closure: g is a closure: it uses n of
def f(n):
  def g(): return n
  return g
submitted = f(1)
### a decorator of the script: is decorated with twice, and what that does
def twice(f): return f
@twice
def submitted(): return 1
### a decorator that does more: is decorated with atexit.register
import atexit
@atexit.register
def submitted(): return 1
### a default value that is computed: calls time.time, and what that does
import time
def submitted(at=time.time()): return at
### a default value that has changed: submitted.__defaults__[0] was changed
def submitted(x, seen=[]): return seen
submitted.__defaults__[0].append(1)
### an attribute: submitted was changed
def submitted(): return submitted.x
submitted.x = 1
### other code: submitted was changed
def submitted(): return 1
def g(): return 2
submitted.__code__ = g.__code__
### a method put in later: C
class C:
  def f(self): return 1
C.f = lambda self: 2
def submitted(): return C().f()
### a class variable that has changed: C.n was changed since it was loaded
class C:
  n = 1
C.n = 2
def submitted(): return C.n
### a class body that does more: does more than define
class C:
  print('hi', end='')
def submitted(): return C
### a class defined twice: more than one definition
class C: n = 1
class C: n = 2
def submitted(): return C.n
### a class that tells others of it: string.Template does something with each class that is derived from it
import unittest, string
class C(string.Template): pass
def submitted(): return C
### an instance of the script: c, which it uses, is made of
class C: pass
c = C()
def submitted(): return c
### a lock: lock, which it uses, cannot be
import threading
lock = threading.Lock()
def submitted(): return lock
### a name of two things: other is its own name, and also that of something else
def other(): return 1
def f():
  def other(): return other_of()
  return other
def other_of(): return other()
submitted = f()
### no source: typed at a prompt or made by exec (<string>)
exec('def submitted(): return 1')
### a bound method: an object of type method
class C:
  def f(self): return 1
submitted = C().f
### a replaced name: submitted was changed since it was loaded
import functools
@functools.cache
def submitted(): return 1
other = submitted
submitted = other.__wrapped__
### marks that are text: has ClassVar, InitVar or KW_ONLY among annotations that are text
from __future__ import annotations
import dataclasses, typing
@dataclasses.dataclass
class C:
  n: typing.ClassVar[int] = 1
def submitted(): return C
"""
REFUSED = {
    name: (source, reason)
    for name, reason, source in re.findall(r"^### (.+?): (.+)\n((?:(?!###).*\n)+)", CASES, re.MULTILINE)
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_might_be_something_else_is_refused(name: str, sent: Callable[..., str]) -> None:
    source, reason = REFUSED[name]
    answer = sent(source)
    assert "refused: " in answer
    assert reason in answer


def test_all_cases_are_there() -> None:
    assert len(REFUSED) == CASES.count("###")


def test_a_file_that_was_changed_since_is_not_believed(sent: Callable[..., str]) -> None:
    change = """
    import pathlib
    path = pathlib.Path(__file__)
    path.write_text(path.read_text().replace("return 1", "return 2"))
    """
    assert "submitted was changed since it was loaded" in sent("def submitted():\n    return 1\n", after=change)


def test_what_goes_by_name_is_portable_as_it_is() -> None:
    payload = portable(os.path.basename)
    assert payload.startswith("12\n")
    assert ComputeSerializer().deserialize(payload) is os.path.basename
    assert ComputeSerializer().deserialize(portable(json.JSONEncoder)) is json.JSONEncoder


def test_what_is_no_function_has_no_source() -> None:
    with pytest.raises(SerializationError, match="an object of type generator"):
        portable_source(number for number in ())
