"""What functions may be, what they take and return, and what they raise."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_functions_of_all_kinds(cell):
    """a named function, a lambda, a closure, one of Python's own"""
    said = cell.run("""
        def double(x):
            return 2 * x
        def adder(k):
            def add(x):
                return x + k
            return add
        with Executor(endpoint) as ex:
            futures = [ex.submit(double, 21), ex.submit(lambda a, b=1: [a, b], 3, b=4), ex.submit(adder(5), 1),
                       ex.submit(pow, 2, 10)]
            said([f.result(50) for f in futures])
    """)
    assert said == [[42, [3, 4], 6, 1024]]


def test_what_a_function_raises(cell):
    """what a function raises, with its traceback"""
    kind, told = cell.run("""
        from {sdk}.errors import TaskExecutionFailed
        def refuse(x):
            raise ValueError(f"not {x}")
        with Executor(endpoint) as ex:
            error = ex.submit(refuse, 1).exception(50)
            said(isinstance(error, TaskExecutionFailed))
            said(str(error))
    """)
    assert kind is True
    assert "Traceback" in told
    assert 'raise ValueError(f"not {x}")' in told
    assert "ValueError: not 1" in told


def test_large_values(cell):
    """an argument and a result of 5 MB"""
    said = cell.run("""
        with Executor(endpoint) as ex:
            argument, result = ex.submit(len, "y" * 5_000_000), ex.submit(lambda n: "x" * n, 5_000_000)
            said([argument.result(50), len(result.result(50))])
    """)
    assert said == [[5_000_000, 5_000_000]]


def test_a_result_over_the_limit(cell):
    """a result over the limit is refused by the worker, which says so"""
    (told,) = cell.run("""
        with Executor(endpoint) as ex:
            said(outcome(ex.submit(lambda: "x" * 12_000_000)))
    """)
    assert "MaxResultSizeExceeded" in told


def test_an_argument_over_the_limit(cell):
    """an argument over the limit is refused by the service, which says so"""
    told, more = cell.run("""
        ex = Executor(endpoint)
        said(outcome(ex.submit(len, "x" * 12_000_000)))
        ex.shutdown(wait=False, cancel_futures=True)
        with Executor(endpoint) as ex:
            said(outcome(ex.submit(len, "one more")))
    """)
    assert "TASK_PAYLOAD_TOO_LARGE" in told
    assert more == 8


def test_a_thousand_tasks_at_once(cell):
    """a thousand tasks at once"""
    said = cell.run("""
        def square(x):
            return x * x
        with Executor(endpoint) as ex:
            said(sum(f.result(50) for f in [ex.submit(square, i) for i in range(1000)]))
    """)
    assert said == [sum(i * i for i in range(1000))]
