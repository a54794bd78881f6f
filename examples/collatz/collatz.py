"""Collatz sequences, computed elsewhere: results in order, then as they arrive."""

import concurrent.futures

from afield import Executor


def sequence(n: int, limit: int = 10_000) -> list[int]:
    found = [n]
    while n != 1 and len(found) < limit:
        n = 3 * n + 1 if n % 2 else n // 2
        found.append(n)
    return found


def main() -> None:
    with Executor() as ex:
        futures = [ex.submit(sequence, n) for n in range(1, 101)]
        sequences = [future.result() for future in futures]
        longest = max(sequences, key=len)
        print(f"{len(sequences)} sequences; the longest starts at {longest[0]} and has {len(longest)} steps")
        print("all end at 1:", all(found[-1] == 1 for found in sequences))

        futures = [ex.submit(sequence, n) for n in range(10**9, 10**9 + 10)]
        for future in concurrent.futures.as_completed(futures):
            found = future.result()
            print(f"{found[0]}: {len(found)} steps")


if __name__ == "__main__":
    main()
