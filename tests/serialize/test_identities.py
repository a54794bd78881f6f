"""Classes of a script that travel with a function and with its arguments: one class there, the script's own here."""

from __future__ import annotations

import gc
import os
import sys
import weakref
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import dill
import pytest

from afield.serialize import ComputeSerializer
from afield.serialize.exceptions import rebuild
from afield.serialize.identities import identity_of
from afield.serialize.pickles import dumps, loads


def _beside(name: str) -> Any:
    # These folders are no packages.
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


there = _beside("pythons")
PUBLISHED = os.environ.get("AFIELD_TEST_PUBLISHED_PYTHON", "")

CLASSES = """
import abc, enum, typing
from collections import namedtuple
from dataclasses import dataclass, field, fields

class Colour(enum.Enum):
    RED = 1
    BLUE = 2
    def hello(self): return self.name

class Perm(enum.Flag):
    R = 1
    W = 2

class Shape(abc.ABC):
    __slots__ = ("size",)
    def __init__(self, size): self.size = size
    @abc.abstractmethod
    def area(self): ...

class Square(Shape):
    def area(self): return self.size ** 2

@dataclass
class Point:
    x: int
    near: list = field(default_factory=list)

@dataclass(frozen=True, slots=True)
class Fixed:
    x: int = 1

class Pair(typing.NamedTuple):
    x: int
    y: int = 2
    def total(self): return self.x + self.y

Old = namedtuple("Old", "a b")

class Outer:
    class Inner:
        pass
    class Kind(enum.Enum):
        ONE = 1
    Couple = namedtuple("Couple", "a b")
    Couple.__qualname__ = "Outer.Couple"

class Wrong(ValueError):
    pass

class Odd(type):
    def __eq__(self, other): return isinstance(other, Odd)
    def __hash__(self): return 1

class First(metaclass=Odd): which = 1
class Second(metaclass=Odd): which = 2

def inside():
    class Local:
        pass
    return Local
Local = inside()
"""


def script(source: str) -> dict[str, Any]:
    """The globals of a script that begins with the classes above."""
    made: dict[str, Any] = {"__name__": "__main__"}
    exec(CLASSES + source, made)
    return made


def call(function: Any, *args: Any, **kwargs: Any) -> list[str]:
    """A call as it is now, on its way to a worker; a function that is text already is one."""
    serializer = ComputeSerializer()
    code = function if isinstance(function, str) else serializer.serialize(function)
    arguments = [serializer.serialize(args), serializer.serialize(kwargs)]
    return [serializer.pack_buffers([code]), serializer.pack_buffers(arguments)]


def answers(*calls: list[str], python: str = sys.executable, option: str = "") -> list[Any]:
    """What one worker makes of calls."""
    given = {str(number): each for number, each in enumerate(calls)}
    options = [option] if option else []
    return list(there.run(python, "worker_program.py", *options, given=given).values())


def results(*calls: list[str], python: str = sys.executable, option: str = "") -> list[Any]:
    """The same, read here."""
    found = answers(*calls, python=python, option=option)
    assert [each["error"] for each in found] == [None] * len(calls), found
    return [ComputeSerializer().deserialize(each["data"]) for each in found]


@pytest.mark.parametrize(
    ("told", "argument"),
    [
        ("thing is Colour.RED", "Colour.RED"),
        ("thing.hello() == Colour.RED.hello() and Colour(1) is thing", "Colour.RED"),
        ("thing == Perm.R | Perm.W and Perm.R in thing", "Perm.R | Perm.W"),
        ("isinstance(thing, Shape) and type(thing) is Square and thing.area() == 9", "Square(3)"),
        ("thing == Point(1, [Point(2)]) and fields(thing) == fields(Point)", "Point(1, [Point(2)])"),
        ("thing == Fixed() and {thing: 1}[Fixed()]", "Fixed()"),
        ("type(thing) is Pair and thing.total() == 3 and thing._replace(x=2) == Pair(2)", "Pair(1)"),
        ("type(thing) is Old and repr(thing) == 'Old(a=1, b=2)'", "Old(1, 2)"),
        ("isinstance(thing, Outer.Inner)", "Outer.Inner()"),
        ("thing is Outer.Kind.ONE", "Outer.Kind.ONE"),
        ("isinstance(thing, Outer.Couple)", "Outer.Couple(1, 2)"),
        ("isinstance(thing, Wrong)", "Wrong('no')"),
        ("isinstance(thing, Local)", "Local()"),
        ("thing is Point", "Point"),
        ("type(thing).which == 2 and type(thing) is Second and type(thing) is not First", "Second()"),
    ],
)
def test_a_class_of_the_function_and_of_its_arguments_is_one_class(told: str, argument: str) -> None:
    made = script(f"def f(thing): return bool({told})\n")
    thing = eval(argument, made)
    assert made["f"](thing)
    assert results(call(made["f"], thing), call(made["f"], thing=thing)) == [True, True]


@pytest.mark.parametrize("first", ["hello", "f"])
def test_whichever_function_is_read_first(first: str) -> None:
    # The one needs nothing of the script, so a worker keeps it.
    made = script("def hello(thing): return thing.hello()\ndef f(thing): return thing is Colour.RED\n")
    functions = [made[first], *(made[name] for name in ("f", "hello", "hello", "f"))]
    given = [call(function, made["Colour"].RED) for function in functions]
    assert results(*given) == [function(made["Colour"].RED) for function in functions]


def test_positional_and_keyword_arguments_are_of_one_class() -> None:
    made = script("def f(one, other): return one is other\n")
    assert results(call(made["f"], made["Colour"].RED, other=made["Colour"].RED)) == [True]


def test_exceptions_that_come_as_arguments_are_caught() -> None:
    made = script("def f(error):\n try: raise error\n except Wrong as caught: return caught.args\n")
    assert results(call(made["f"], made["Wrong"]("no", 1))) == [("no", 1)]


def test_a_class_that_was_defined_again_is_another_class() -> None:
    made = script("def f(thing): return isinstance(thing, Point)\n")
    before = made["Point"](1)
    exec(CLASSES, made)
    after = made["Point"](1)
    assert results(call(made["f"], before), call(made["f"], after)) == [False, True]


def test_what_was_done_to_a_class_since_is_seen_by_the_next_task() -> None:
    source = "Point.shared = 5\nPoint.times = lambda self: self.x * 2\n"
    made = script(f"{source}def f(point): return point.shared, Point.shared, Point.times(point)\n")
    code = ComputeSerializer().serialize(made["f"])
    before = call(code, made["Point"](1))
    exec("Point.shared = 6\nPoint.times = lambda self: self.x * 3\n", made)
    assert results(before, call(code, made["Point"](1))) == [(5, 5, 2), (6, 6, 3)]


def test_methods_change_the_globals_that_the_function_sees() -> None:
    source = "class Item:\n def keep(self):\n  kept.append(self)\n @classmethod\n def all(cls): return len(kept)\n"
    made = script(
        source + "kept = []\ndef f(item):\n item.keep()\n return isinstance(item, Item), len(kept), item.all()\n"
    )
    assert results(call(made["f"], made["Item"]())) == [(True, 1, 1)]


def test_what_a_task_does_to_a_class_is_not_seen_by_the_next() -> None:
    source = "Point.all = []\ndef f(point):\n Point.all.append(1)\n found = len(point.all), hasattr(Point, 'later')\n"
    made = script(source + " Point.later = 1\n return found\n")
    given = call(made["f"], made["Point"](1))
    assert results(given, given, given) == [(1, False)] * 3


def test_tasks_in_threads_do_not_share_classes() -> None:
    # Both have been read when either begins; then both add, then both look.
    source = (
        "Point.all = []\ndef f(point, number):\n import threading\n"
        " meeting = vars(threading).setdefault('meeting', threading.Barrier(8, timeout=60))\n"
        " meeting.wait()\n Point.all.append(number)\n meeting.wait()\n"
        " return isinstance(point, Point) and point.all\n"
    )
    made = script(source)
    given = [call(made["f"], made["Point"](1), number) for number in range(8)]
    assert results(*given, option="threads") == [[number] for number in range(8)]


def test_what_comes_home_is_of_the_classes_of_the_script() -> None:
    made = script("def f(*things): return [*things, Outer.Inner(), Colour.BLUE]\n")
    names = ("Point", "Square", "Pair", "Old", "Local")
    things = [made["Point"](1), made["Square"](2), made["Pair"](1), made["Old"](1, 2), made["Local"]()]
    (found,) = results(call(made["f"], *things))
    assert [type(each) for each in found[:5]] == [made[name] for name in names]
    assert type(found[5]) is made["Outer"].Inner
    assert found[6] is made["Colour"].BLUE


def test_what_comes_home_leaves_the_classes_of_the_script_as_they_are() -> None:
    made = script("def f(*things): return things\n")
    made["Colour"].RED.seen = 1
    made["Local"].count = 1
    given = call(made["f"], made["Point"](1), made["Colour"].RED, made["Local"]())
    made["Colour"].RED.seen = made["Local"].count = 2
    before = {name: dict(vars(made[name])) for name in ("Point", "Colour", "Local")}
    results(given)
    assert {name: dict(vars(made[name])) for name in before} == before
    assert (made["Colour"].RED.seen, made["Local"].count) == (2, 2)


def test_a_call_that_is_read_where_it_was_written_is_of_the_classes_of_the_script() -> None:
    made = script("def f(point, colour): return point, colour, Local()\n")
    function, args, kwargs = ComputeSerializer().check_strategies(
        made["f"], made["Point"](1), colour=made["Colour"].RED
    )
    point, colour, local = function(*args, **kwargs)
    assert (type(point), type(local)) == (made["Point"], made["Local"])
    assert colour is made["Colour"].RED


def test_what_came_from_elsewhere_and_goes_on_from_here_comes_back_as_it_is() -> None:
    # As with a task that submits tasks: here it is this process, in a thread that reads results.
    made = script("def f(): return Local\n")
    sent = dumps(made["f"]).replace(identity_of(made["Local"]).encode(), b"0" * 32)
    with ThreadPoolExecutor(1) as pool:
        local = pool.submit(loads, sent).result()()
        assert local is not made["Local"]
        local.mark = 1
        again = dumps(local())
        local.mark = 2
        assert type(pool.submit(loads, again).result()) is local
    assert local.mark == 2


def test_a_class_that_dill_read_goes_on_with_one_identity() -> None:
    made = script("")
    by_dill = dill.loads(dumps(made["Point"]))
    assert dumps(by_dill).count(b"__afield_class__") == 1


def test_an_exception_of_a_class_inside_of_a_function_is_caught_here() -> None:
    made = script("def inside():\n class Refused(ValueError): pass\n return Refused\nRefused = inside()\n")
    exec("def f():\n raise Refused('no', 3)\n", made)
    (answer,) = answers(call(made["f"]))
    error = rebuild(answer["data"], "0", b64decode(answer["exception"]), answer["error"])
    assert isinstance(error, made["Refused"])
    assert error.args == ("no", 3)


def test_a_class_made_by_our_reader_shows_nothing_of_its_identity() -> None:
    source = "def f(): return [[name for name in vars(each) if 'afield' in name] + [each.__module__] for each in "
    made = script(f"{source}(Colour, Point, Fixed, Pair, Old, Local)]\n")
    (found,) = results(call(made["f"]))
    assert found == [["__main__"]] * 6


def test_classes_that_nobody_has_any_more_are_forgotten() -> None:
    made = script("def f(): return Point(1), Colour.RED, Pair(1)\n")
    dumps(made["f"])
    watched = [weakref.ref(made[name]) for name in ("Point", "Colour", "Pair")]
    made.clear()
    gc.collect()
    assert [each() for each in watched] == [None] * 3


SOURCE = """
import enum
from collections import namedtuple

class Kind(enum.Enum):
    ONE = 1

class Holder:
    class Inner(enum.Enum):
        TWO = 2
    def __init__(self, x): self.x = x
    def twice(self): return self.x * 2

Old = namedtuple("Old", "a b")

def is_one(kind, old, inner):
    return kind is Kind.ONE, type(old) is Old, inner is Holder.Inner.TWO

def holds(holder):
    return isinstance(holder, Holder) and holder.twice()
"""
WRITER = """
import json, sys
from afield.serialize import AllCodeStrategies, ComputeSerializer
from afield.serialize.portable import portable

def written(form, function, *args):
    code = portable(function) if form == "portable" else ComputeSerializer(AllCodeStrategies()).serialize(function)
    pack = ComputeSerializer.pack_buffers
    return [pack([code]), pack([ComputeSerializer().serialize(each) for each in (args, {})])]

form = sys.argv[1]
calls = [written(form, is_one, Kind.ONE, Old(1, 2), Holder.Inner.TWO), written(form, holds, Holder(4))]
json.dump(calls, sys.stdout)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Path:
    path = tmp_path / "a_script.py"
    path.write_text(SOURCE + WRITER)
    return path


@pytest.mark.parametrize("form", ["AllCodeStrategies", "portable"])
@pytest.mark.parametrize("version", sorted(there.pythons()), ids=lambda version: "{}.{}".format(*version))
def test_a_class_that_came_as_source_is_that_of_the_arguments(
    writer: Path, form: str, version: tuple[int, int]
) -> None:
    calls = there.run(sys.executable, str(writer), form)
    found = results(*calls, python=there.pythons()[version])
    # Another Python has the methods from the source, and needs nothing of the code that came with the argument.
    assert found == [(True, True, True), 8]


@pytest.mark.skipif(
    not PUBLISHED, reason="AFIELD_TEST_PUBLISHED_PYTHON names no interpreter that has globus-compute-sdk"
)
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the published package is there for Python 3.11")
def test_a_published_worker_is_not_disturbed_and_sends_the_classes_of_the_script_back() -> None:
    made = script("def f(*things): return [*things, Point(3), Pair(1).total(), Colour.RED.hello()]\n")
    things = made["Point"](1), made["Square"](2), made["Local"](), made["Pair"](1)
    (found,) = results(call(made["f"], *things), python=PUBLISHED, option="published")
    assert [type(each) for each in found[:3]] == [made["Point"], made["Square"], made["Local"]]
    assert found[3:] == [made["Pair"](1), made["Point"](3), 3, "RED"]
