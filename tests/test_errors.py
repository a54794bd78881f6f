"""The tree of errors: what the drawing promises is what there is, and every class survives the journey."""

import inspect
import pickle
import re

import pytest

from afield import errors
from afield.errors import ComputeError

CLASSES = sorted(
    (cls for _, cls in inspect.getmembers(errors, inspect.isclass) if cls.__module__ == errors.__name__),
    key=lambda cls: cls.__name__,
)
#: Arguments for the classes that want more than a message.
ARGUMENTS: dict[str, tuple[object, ...]] = {
    "ComputeAPIError": (404, "ENDPOINT_NOT_FOUND", "there is no such endpoint"),
    "InvalidId": ("endpoint", "four"),
    "TaskPending": ("waiting-for-nodes",),
    "TaskExecutionFailed": ("Traceback …\nValueError: ä", "1700000000.5"),
    "NoWorkers": ("three blocks died", "12"),
    "WorkerLost": ("killed by signal 9", "12"),
    "EndpointLost": ("the endpoint went away", "12"),
    "MaxResultSizeExceeded": ("11000000 > 10485760", "12"),
}


def make(cls: type[ComputeError]) -> ComputeError:
    return cls(*ARGUMENTS.get(cls.__name__, ("what happened, whose fault, what next",)))


def drawn() -> dict[str, str | None]:
    """Class -> parent, read from the drawing in the module's docstring by its indentation."""
    found: dict[str, str | None] = {}
    parents: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ([│├└─ ]*)([A-Z]\w+)", line)
        if match:
            depth, name = len(match[1]), match[2]
            while parents and parents[-1][0] >= depth:
                parents.pop()
            found[name] = parents[-1][1] if parents else None
            parents.append((depth, name))
    return found


def test_the_drawing_is_the_tree() -> None:
    tree = {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES}
    tree["ComputeError"] = None  # type: ignore[assignment]
    assert drawn() == tree


def test_every_class_is_public_and_the_list_is_sorted() -> None:
    assert errors.__all__ == sorted(errors.__all__) == [cls.__name__ for cls in CLASSES]


def test_every_class_says_what_it_is() -> None:
    assert not [cls.__name__ for cls in CLASSES if not cls.__dict__.get("__doc__")]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_it_survives_pickling(cls: type[ComputeError], protocol: int) -> None:
    error = make(cls)
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is cls
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == vars(error)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_its_text_names_what_it_was_given(cls: type[ComputeError]) -> None:
    error = make(cls)
    # completion_t is for programs; everything else is for people.
    shown = error.args[:1] if issubclass(cls, errors.TaskExecutionFailed) else error.args
    assert all(str(argument) in str(error) for argument in shown)


def test_the_published_attributes_are_there() -> None:
    failed = errors.TaskExecutionFailed("remote text", "17.0")
    assert (failed.remote_data, failed.completion_t) == ("remote text", "17.0")
    assert errors.TaskExecutionFailed("remote text").completion_t == "0"
    assert errors.TaskPending("received").reason == "received"
    refused = errors.ComputeAPIError(403, "FUNCTION_NOT_PERMITTED", "not allowed here")
    assert (refused.http_status, refused.code, refused.reason) == (403, "FUNCTION_NOT_PERMITTED", "not allowed here")


@pytest.mark.parametrize("cls", [errors.InvalidId, errors.NoEndpoint])
def test_what_a_caller_typed_wrong_is_also_a_value_error(cls: type[ComputeError]) -> None:
    assert issubclass(cls, ValueError)


def test_one_except_clause_catches_them_all() -> None:
    assert all(issubclass(cls, ComputeError) for cls in CLASSES)
