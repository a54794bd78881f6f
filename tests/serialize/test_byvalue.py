"""What a function takes along of its script, and what it leaves."""

from __future__ import annotations

import concurrent.futures
import io
import pickletools
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dill
import pytest

from afield.serialize import DillCode, PureSourceTextInspect
from afield.serialize.pickles import LEFT_BEHIND, dumps, loads
from afield.wire.jobs import JOB_VERSION, Job, code_digest, decode_outcome, encode_job
from afield.worker.run import run


def script(source: str, **names: Any) -> dict[str, Any]:
    """The globals of a script."""
    made: dict[str, Any] = {"__name__": "__main__", **names}
    exec(source, made)
    return made


def returned(function: Callable[..., Any], *args: Any) -> Any:
    """What a function gives, once it has travelled."""
    return loads(dumps(function))(*args)


def test_only_what_is_used_travels() -> None:
    made = script("def f(): return used + thing.unused\n", used=1, unused="secret text", thing=None)
    assert b"secret" not in dumps(made["f"])
    assert set(loads(dumps(made["f"])).__globals__) == {"__name__", "__builtins__", "used", "thing"}


def test_globals_are_as_they_were_when_it_was_serialized() -> None:
    made = script("def f(): return [number, table]\n", number=1, table=[1])
    sent = dumps(made["f"])
    made["number"] = 2
    made["table"].append(2)
    assert loads(sent)() == [1, [1]]


def test_functions_of_one_pickle_share_their_globals_and_those_of_two_do_not() -> None:
    source = "def add():\n global count\n count += 1\n return read()\ndef read(): return count\n"
    made = script(source, count=0)
    sent = dumps([made["add"], made["read"]])
    (add, read), (other, _) = loads(sent), loads(sent)
    assert (add(), add(), read(), other(), made["count"]) == (1, 2, 2, 1, 0)


def test_names_after_many_others_are_found() -> None:
    names = [f"name_{number}" for number in range(600)]
    made = script(f"def f(): return {' + '.join(names)}\n", **dict.fromkeys(names, 1))
    assert returned(made["f"]) == 600


def test_a_name_that_is_no_global_is_a_builtin() -> None:
    made = script("def f(): return len([1]) + sum([1])\n", sum=lambda _: 10)
    assert returned(made["f"]) == 11


def test_a_package_comes_with_the_modules_in_it_that_are_used(tmp_path: Path) -> None:
    sender = tmp_path / "sender.py"
    sender.write_text(
        "import sys, xml, xml.dom.minidom\n"
        "from afield.serialize.pickles import dumps\n"
        "def f(): return xml.dom.minidom.parseString('<a/>').documentElement.tagName\n"
        "sys.stdout.buffer.write(dumps(f))\n"
    )
    sent = subprocess.run([sys.executable, sender], capture_output=True, check=True).stdout
    program = "import sys; from afield.serialize.pickles import loads; print(loads(sys.stdin.buffer.read())())"
    read = subprocess.run([sys.executable, "-c", program], input=sent, capture_output=True, check=True)
    assert read.stdout == b"a\n"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (threading.Lock, "a lock lives in one process only"),
        (threading.RLock, "a lock lives in one process only"),
        (threading.Event, "an event lives in one process only"),
        (lambda: Path(__file__).open(), "an open file lives in one process only"),  # noqa: SIM115
        (lambda: [{"deep": Path(__file__).open()}], "an open file lives in one process only"),  # noqa: SIM115
        (socket.socket, "a socket lives in one process only"),
        (lambda: concurrent.futures.ThreadPoolExecutor(1), "an executor lives in one process only"),
        (concurrent.futures.Future, "a future lives in one process only"),
        (lambda: threading.Thread(target=print), "a thread lives in one process only"),
        (lambda: (number for number in ()), "cannot pickle 'generator' object"),
    ],
    ids=["lock", "rlock", "event", "file", "file inside", "socket", "executor", "future", "thread", "generator"],
)
def test_what_cannot_travel_stays_behind_and_the_function_goes(make: Callable[[], Any], reason: str) -> None:
    thing = make()
    try:
        made = script("def f(use):\n if use: return thing\n return fine\n", thing=thing, fine=1)
        again = loads(dumps(made["f"]))
        assert again(False) == 1
        with pytest.raises(NameError, match="'thing' is not defined"):
            again(True)
        assert reason in again.__globals__[f"{LEFT_BEHIND}thing"]
    finally:
        for each in thing if isinstance(thing, list) else [{"deep": thing}]:
            getattr(each["deep"], "close", lambda: None)()


def test_who_misses_what_stayed_behind_is_told_why() -> None:
    made = script("def f():\n with lock: pass\n", lock=threading.Lock())
    code = f"{len(payload := DillCode().serialize(made['f']))}\n{payload}".encode()
    empty = b"7\n00\nKS4=7\n00\nfS4="
    outcome = decode_outcome(run(encode_job(Job(JOB_VERSION, "a-task", code_digest(code), code, empty))))
    text = outcome.data.decode()
    assert (
        "NameError: name 'lock' is not defined\n(lock stayed behind, where the function was submitted, because" in text
    )
    assert "because it cannot travel: lock: a lock lives in one process only. Make it inside the function" in text


def test_files_in_memory_travel() -> None:
    made = script("def f(): return text.getvalue()\n", text=io.StringIO("all of it"))
    assert returned(made["f"]) == "all of it"


def test_objects_with_locks_inside_travel_with_new_ones() -> None:
    source = "class Kept:\n def use(self):\n  with self.one, self.two: return True\n"
    source += "kept = Kept()\ndef f(): return kept.use()\n"
    made = script(source)
    made["kept"].one, made["kept"].two = threading.Lock(), threading.RLock()
    with made["kept"].one:  # taken there, free here
        assert returned(made["f"]) is True


def test_large_variables_are_named_in_a_warning() -> None:
    made = script("def f(): return len(table) + len(small)\n", table=b"x" * 2_000_000, small=b"x" * 1000)
    with pytest.warns(UserWarning, match=r"travels with large variables of its script: table \(2\.0 MB\)\. They go"):
        sent = dumps(made["f"])
    assert loads(sent)() == 2_001_000


def test_nothing_is_warned_about_otherwise() -> None:
    made = script("def f(): return len(table)\n", table=b"x" * 900_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dumps(made["f"])


def test_nothing_in_a_pickle_names_the_script() -> None:
    source = "class C:\n def g(self): return helper(C)\ndef helper(x): return x\ndef f(): return C().g()\n"
    sent = dumps(script(source)["f"])
    named = [argument for opcode, argument, _ in pickletools.genops(sent) if opcode.name in {"GLOBAL", "INST"}]
    assert not [each for each in named if "__main__" in each]
    # By dill alone, which knows nothing of us, in a process that has no such names.
    assert dill.loads(sent)().__name__ == "C"


def test_marks_that_are_compared_by_identity_go_by_name() -> None:
    import dataclasses

    made = script("def f(): return missing\n", missing=dataclasses.MISSING)
    assert returned(made["f"]) is dataclasses.MISSING


def test_a_function_of_a_module_goes_by_name_and_a_closure_of_it_uses_that_module() -> None:
    inner = dill.source.getsourcelines
    assert loads(dumps(inner)) is inner
    closure = lambda: (inner, warnings)  # noqa: E731
    assert loads(dumps(closure))() == (inner, warnings)


def test_an_enum_that_cannot_be_made_from_its_values_is_refused_by_name() -> None:
    source = (
        "import enum\nclass Odd(bytes, enum.Enum):\n def __new__(cls, value, label):\n"
        "  made = bytes.__new__(cls, [value])\n  made._value_ = value\n  return made\n A = 0, 'a'\n"
    )
    with pytest.raises(Exception, match="the enum Odd makes its members in a way of its own"):
        dumps(script(source)["Odd"].A)


def test_a_setter_that_somebody_sends_is_that_setter() -> None:
    assert loads(dumps(setattr)) is setattr
    assert loads(dumps((setattr, lambda: 1)))[0] is setattr


def test_source_takes_along_what_can_be_said_in_source() -> None:
    payload = PureSourceTextInspect().serialize(uses_globals)
    assert PureSourceTextInspect().deserialize(payload)(2) == 2 * 3 + 4


FACTOR = 3


def plus_four(x: int) -> int:
    return x + 4


def uses_globals(x: int) -> int:
    return plus_four(x * FACTOR)
