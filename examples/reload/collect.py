"""Collect the results of a task group that another program sent."""

import sys

from afield import Executor


def main() -> None:
    with Executor(task_group_id=sys.argv[1]) as ex:
        print(sorted(future.result() for future in ex.reload_tasks()))


if __name__ == "__main__":
    main()
