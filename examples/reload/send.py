"""Send tasks, print the id of their group, and leave without waiting."""

from concurrent.futures import wait

from afield import Executor


def cube(x: int) -> int:
    return x**3


def main() -> None:
    ex = Executor()
    futures = [ex.submit(cube, x) for x in range(10)]
    wait(futures[:1])  # the group has its id once the service has accepted a task
    print(ex.task_group_id)
    ex.shutdown()


if __name__ == "__main__":
    main()
