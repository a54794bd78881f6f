"""What a failed task raises, and how to catch it."""

from afield import Executor
from afield.errors import TaskExecutionFailed, WorkerLost


def divide(a: float, b: float) -> float:
    return a / b


def crash() -> None:
    import os

    os._exit(3)


def main() -> None:
    with Executor() as ex:
        try:
            ex.submit(divide, 1, 0).result()
        except ZeroDivisionError as error:
            print("caught as what it is:", error.args[0])
            print("and a remote failure:", isinstance(error, TaskExecutionFailed))
            print("where:", next(line.strip() for line in str(error).splitlines() if "divide" in line))

        try:
            ex.submit(crash).result()
        except WorkerLost as error:
            print("the worker died:", str(error).strip().splitlines()[0])

        try:
            ex.submit(divide, "one", 2).result()
        except TaskExecutionFailed as error:
            print("any remote failure:", str(error).strip().splitlines()[-1])

        print("and the endpoint goes on:", ex.submit(divide, 6, 3).result())


if __name__ == "__main__":
    main()
