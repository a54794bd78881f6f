"""A script as people write them, with everything at module level. Not a test: run as ``__main__``.

``write FORM``: prints, as JSON, its calls for a worker: ``{name: [function, arguments] or an error as text}``. FORM is
a strategy for code, or ``portable``.
``read``: takes what the worker answered, as JSON, and prints what became of each call: ``right``, or what is wrong.
"""

# ruff: noqa: PLW0603, PTH118, PTH123, PIE796, PYI024 - as people write

import abc
import dataclasses
import enum
import json
import logging
import math as m
import os.path
import sys
import threading
import typing
import xml.dom.minidom
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property, lru_cache, partial, wraps
from typing import Generic, NamedTuple, NewType, TypeVar
from xml.etree import ElementTree as ET

from afield import serialize
from afield.errors import SerializationError
from afield.serialize import ComputeSerializer

T = TypeVar("T")
P = typing.ParamSpec("P")
UserId = NewType("UserId", int)
log = logging.getLogger("travels")
lock = threading.Lock()
pool = ThreadPoolExecutor(1)
out = open(os.devnull, "w")  # noqa: SIM115
N = 3
TABLE = {"a": [1], "same": None}
TABLE["same"] = TABLE["a"]
counter = 0
PATH = os.path.join("a", "b")


class Colour(enum.Enum):
    """colours"""

    RED = 1
    BLUE = enum.auto()
    ROT = 1

    def hello(self):
        return f"{self.name} {N}"

    @property
    def up(self):
        return self.name.upper()

    @classmethod
    def first(cls):
        return cls.RED

    def __str__(self):
        return f"C{self.name}"


class Planet(enum.Enum):
    EARTH = (3, 2)

    def __init__(self, mass, radius):
        self.mass, self.radius = mass, radius


class Perm(enum.Flag):
    R = enum.auto()
    W = enum.auto()
    RW = R | W


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    X = enum.auto()


class Coord(bytes, enum.Enum):
    """Its members cannot be made from their values."""

    def __new__(cls, value, label):
        made = bytes.__new__(cls, [value])
        made._value_ = value
        made.label = label
        return made

    PX = (0, "P.X")


class Bare(enum.Enum):
    """It has no code that only one version could read."""

    ONE = 1


class Base(abc.ABC):
    __slots__ = ()
    kind = "base"

    @abc.abstractmethod
    def area(self): ...

    def twice(self):
        return 2 * self.area()


class Square(Base):
    __slots__ = ("__dict__", "side")

    def __init__(self, side):
        super().__init__()
        self.side = side

    def area(self):
        return helper(self.side) ** 2

    def is_itself(self):
        return isinstance(self, Square) and type(self) is Square and isinstance(self, Base)

    @cached_property
    def later(self):
        return self.side + N


@dataclass(order=True)
class Point:
    x: int
    near: list = field(default_factory=list)
    shared = 5

    def norm(self):
        return m.sqrt(self.x) + N


@dataclass
class Marked:
    x: int
    of_all: typing.ClassVar[int] = 5

    def names(self):
        return [each.name for each in fields(self)]


@dataclass(frozen=True, slots=True)
class Fixed:
    x: int = 1


class Box(Generic[T]):
    def __init__(self, value: T):
        self.value = value

    def __eq__(self, other):
        return type(other) is Box and self.value == other.value

    def __hash__(self):
        return hash(self.value)


class Deferred(Generic[P, T]):
    def __init__(self, function: typing.Callable[P, T]):
        self.function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.function(*args, **kwargs)


class Pair(NamedTuple):
    x: int
    y: int = 2

    def total(self):
        return self.x + self.y + N


Old = namedtuple("Old", "a b")


class Sub(Old):
    def times(self):
        return self.a * N


class Node:
    def __init__(self, before=None):
        self.before = before

    def make(self):
        return Node(self)

    def __eq__(self, other):
        return type(other) is Node and self.before == other.before

    def __hash__(self):
        return hash(helper(1))


class Wrong(ValueError):
    pass


class Settings(typing.TypedDict, total=False):
    size: int


class Plugin:
    known: typing.ClassVar = []

    def __init_subclass__(cls):
        Plugin.known.append(cls)


class First(Plugin):
    pass


def helper(x):
    return x + 1


def even(n):
    return True if n == 0 else odd(n - 1)


def odd(n):
    return False if n == 0 else even(n - 1)


def adding(function):
    @wraps(function)
    def wrapped(*args):
        return function(*args) + N

    return wrapped


@adding
def decorated(x):
    return helper(x)


@lru_cache
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def counting():
    global counter
    counter += 1
    bump()
    return counter


def bump():
    global counter
    counter += 10


def submodule():
    return xml.dom.minidom.parseString("<a/>").documentElement.tagName + ET.fromstring("<b/>").tag


def times(factor):
    def inner(x):
        return helper(x) * factor

    return inner


five_times = times(5)
by_lambda = lambda x: helper(x) + N  # noqa: E731


def class_inside():
    class Inside:
        value = N

        def get(self):
            return helper(self.value)

    return Inside().get()


def typed(user: UserId, colour: Colour = Colour.BLUE) -> "Point":
    return user, colour


DISPATCH = {"helper": helper, "again": lambda: DISPATCH["helper"](1)}


def calls_even():
    return even(10)


def calls_decorated():
    return decorated(1)


def calls_fib():
    return fib(20)


def calls_closure():
    return five_times(1)


def calls_lambda():
    return by_lambda(1)


def dispatches():
    return DISPATCH["again"]()


def enums():
    names = (Colour.RED.hello(), Colour.BLUE.up, str(Colour.RED), Colour(2).name, len(list(Colour)), Colour.__doc__)
    same = (Colour.first() is Colour.RED, Colour.ROT is Colour.RED, Colour["RED"] is Colour.RED)
    return names, same, (Planet.EARTH.mass, Planet.EARTH.value)


def flags():
    return (Perm.R | Perm.W) is Perm.RW, Perm.R in Perm.RW, Level.LOW == 1, Word.X == "x"


def hierarchy():
    square = Square(1)
    return square.twice(), square.is_itself(), square.later, square.kind, sorted(Base.__abstractmethods__)


def data_classes():
    point = Point(4)
    made = dataclasses.replace(point, x=3)
    marks = fields(Point)[0].default is MISSING, [each.name for each in fields(Point)]
    compared = Point(1) < Point(2), Fixed() == Fixed()
    return point.norm(), compared, repr(made), dataclasses.asdict(made), Point.shared, marks


def marked():
    return Marked(1).names(), Marked.of_all


def named_tuples():
    return Pair(1).total(), Pair(1)._replace(y=5), Pair.__annotations__["x"] is int, Old(1, 2).b, Sub(2, 1).times()


def generic():
    return Box[int](3).value


def deferred():
    return Deferred[[int], int](helper)(1)


def box_of(value: T) -> Box[T]:
    return Box[int](value)


def typed_dicts(settings: Settings):
    return Settings(size=settings["size"] + 1), sorted(Settings.__optional_keys__), Settings.__total__


def plugins():
    class Second(Plugin):
        pass

    return Plugin.known == [First, Second], First.known is Plugin.known


def linked():
    return Node().make().before.before, {Node(): 1}[Node()]


def constants():
    return PATH, TABLE, TABLE["a"] is TABLE["same"], log.name


def plain(x, y=2, *rest, z: int = 3):
    """Uses nothing but what it is given."""
    return [x * y, *rest, z]


def takes_point(point):
    return point.norm()


def makes_point():
    return {"points": [Point(1, [Point(2)])], "colour": Colour.BLUE, "pair": Pair(1), "square": Square(2).twice()}


def is_one(bare):
    return bare is Bare.ONE and isinstance(bare, Bare)


def is_known(point, colour):
    return isinstance(point, Point) and point == Point(1) and colour is Colour.RED


def gives_back(value):
    return value


def raises():
    raise Wrong("no", Colour.RED)


def calls_it(function, *args):
    return function(*args)


#: name -> a function, its arguments, and what it returns
CALLS = {
    "helpers that call each other": (calls_even, (), True),
    "decorated": (calls_decorated, (), 5),
    "cached": (calls_fib, (), 6765),
    "writes a global": (counting, (), 11),
    "submodules": (submodule, (), "ab"),
    "closure": (calls_closure, (), 10),
    "closure itself": (five_times, (1,), 10),
    "lambda": (calls_lambda, (), 5),
    "lambda itself": (lambda x: helper(x) + N, (1,), 5),
    "a class inside": (class_inside, (), 4),
    "functions in a table": (dispatches, (), 2),
    "enums": (enums, (), (("RED 3", "BLUE", "CRED", "BLUE", 2, "colours"), (True, True, True), (3, (3, 2)))),
    "flags": (flags, (), (True, True, True, True)),
    "hierarchy": (hierarchy, (), (8, True, 4, "base", ["area"])),
    "data classes": (
        data_classes,
        (),
        (5.0, (True, True), "Point(x=3, near=[])", {"x": 3, "near": []}, 5, (True, ["x", "near"])),
    ),
    "class variables of data classes": (marked, (), (["x"], 5)),
    "named tuples": (named_tuples, (), (6, Pair(1, 5), True, 2, 6)),
    "generic": (generic, (), 3),
    "generic back": (box_of, (3,), Box(3)),
    "generic in its parameters": (deferred, (), 2),
    "typed dicts": (typed_dicts, ({"size": 1},), ({"size": 2}, ["size"], False)),
    "told of each subclass": (plugins, (), (True, True)),
    "linked": (linked, (), (None, 1)),
    "constants": (constants, (), ("a/b", {"a": [1], "same": [1]}, True, "travels")),
    "annotations": (typed, (3,), (3, Colour.BLUE)),
    "plain": (plain, (1, "b", 4), ["b", 4, 3]),
    "of a module": (os.path.basename, ("a/b",), "b"),
    "a partial": (partial(helper, 1), (), 2),
    "a class": (Point, (1,), Point(1)),
    "plain data": (gives_back, ((1, -2.5, None, "ä", b"\xff", {"k": [{1, 2}]}, frozenset({3}), 1j, 2**80),), ...),
    "an instance": (takes_point, (Point(4),), 5.0),
    "an enum": (gives_back, ([Colour.RED, Perm.RW, Level.LOW],), ...),
    "a function as argument": (calls_it, (helper, 1), 2),
    "a member of an enum that it knows": (is_one, (Bare.ONE,), True),
    "objects of classes that it knows": (is_known, (Point(1), Colour.RED), True),
    "instances back": (
        makes_point,
        (),
        {"points": [Point(1, [Point(2)])], "colour": Colour.BLUE, "pair": Pair(1), "square": 18},
    ),
    "a class back": (gives_back, (Node,), ...),
}


def _written(form, function, args):
    from afield.serialize.portable import portable

    serializer = ComputeSerializer(strategy_code=None if form == "portable" else getattr(serialize, form))
    try:
        code = portable(function) if form == "portable" else serializer.serialize(function)
        return [serializer.pack_buffers([code]), serializer.pack_buffers([serializer.serialize(args), "11\n{}"])]
    except SerializationError as error:
        return f"refused: {error}"


def _judged(name, answer):
    from afield.serialize.exceptions import rebuild

    if isinstance(answer, str):
        return answer
    _, args, expected = CALLS[name]
    if answer["error"] is not None:
        return str(rebuild(answer["data"], "0", None, answer["error"]))
    try:
        found = ComputeSerializer().deserialize(answer["data"])
    except Exception as error:  # noqa: BLE001 - that it is none but the right one is for the test to say
        return f"{type(error).__name__}: {error}"
    wanted = args[0] if expected is ... else expected
    return "right" if found == wanted and type(found) is type(wanted) else f"wrong: {found!r}"


if __name__ == "__main__":
    sys.stdin.reconfigure(encoding="utf-8")
    if sys.argv[1] == "write":
        made = {name: _written(sys.argv[2], function, args) for name, (function, args, _) in CALLS.items()}
    else:
        made = {name: _judged(name, answer) for name, answer in json.load(sys.stdin).items()}
    json.dump(made, sys.stdout)
    out.close()
    pool.shutdown()
