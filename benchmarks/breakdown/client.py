"""What the caller's process does for a task, without any waiting."""

from __future__ import annotations

import msgspec

from afield.ids import new_ids
from afield.sdk.future import ComputeFuture
from afield.sdk.outcome import Arrived
from afield.serialize import ComputeSerializer
from afield.wire import v2
from afield.wire.rest import SubmitRequest
from benchmarks.breakdown.parts import Amount, Figure, batches, payload_of, results, tasks, timed

__all__ = ["envelope", "future", "open_result", "request_body", "serialize"]


def serialize(amount: Amount) -> Figure:
    """The arguments become text."""
    serializer = ComputeSerializer()
    return timed(amount, lambda i: serializer.pack_buffers([serializer.serialize((i,)), serializer.serialize({})]))


def future(amount: Amount) -> Figure:
    """A future is made, resolved, and asked."""

    def one(i: int) -> int:
        made: ComputeFuture[int] = ComputeFuture()
        made.set_result(i)
        return made.result()

    return timed(amount, one)


def request_body(amount: Amount) -> Figure:
    """The body of a submit is written by one end and read by the other."""
    decode = msgspec.json.Decoder(SubmitRequest).decode
    payload = payload_of(7).decode()

    def there_and_back(count: int) -> None:
        decode(msgspec.json.encode(SubmitRequest({"0192f3a0-0000-7000-8000-00000000000f": [payload] * count})))

    figure = timed(
        Amount(max(1, amount.tasks // amount.batch), amount.batch, amount.calls),
        lambda _: there_and_back(amount.batch),
        lambda _: there_and_back(1),
    )
    return _shared(figure, amount.batch)


def envelope(amount: Amount) -> Figure:
    """A batch of tasks, and one of their results, is written by one end and read by the other."""
    ids = new_ids(amount.batch)
    out, back = tasks(ids), results(ids)

    def there_and_back(count: int) -> None:
        v2.decode(v2.encode_tasks(out[:count]))
        v2.decode(v2.encode_results(back[:count]))

    figure = timed(
        Amount(len(batches(range(amount.tasks), amount.batch)), amount.batch, amount.calls),  # type: ignore[arg-type]
        lambda _: there_and_back(amount.batch),
        lambda _: there_and_back(1),
    )
    return _shared(figure, amount.batch)


def open_result(amount: Amount) -> Figure:
    """A result that has arrived becomes a value."""
    result = results(new_ids(1))[0]
    serializer = ComputeSerializer()

    def one(_: int) -> object:
        arrived = Arrived.from_result(result, 0)
        arrived.serializer = serializer
        value, error = arrived.open()
        if error is not None:
            raise error
        return value

    return timed(amount, one)


def _shared(figure: Figure, batch: int) -> Figure:
    """What a batch takes, on the shoulders of its tasks."""
    return Figure(figure.many / batch if figure.many is not None else None, figure.alone)
