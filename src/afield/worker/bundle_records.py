"""PURE: what travels between an engine on Parsl and its workers: bundles of jobs, and answers.

An engine hands HTEX a bundle, which is bytes; HTEX calls :func:`afield.worker.bundle.run` with it, wherever it has a
free worker, and brings back the answer, which is bytes. Beside that there is the *control channel*: a connection that
the worker opens to its engine. These pass through it, as frames of ``afield.worker.frames`` whose word is a
:class:`Say`:

==========  =========  =========================================================================
who         word       body
==========  =========  =========================================================================
engine      CHALLENGE  a nonce
worker      HELLO      :class:`Introduction`
engine      WELCOME    its proof that it knows the secret
worker      TAKEN      the number of a bundle: it is here and has not begun
engine      GO         :class:`Go`: begin, without these
engine      BACK       the number of a bundle: do not begin it, answer that it was given back
worker      PART       :class:`Part`: what is done so far, and what of the bundle it gives back
engine      GOT        the number of a bundle: its part has arrived
engine      STOP       :class:`StopOne`: keep a job of a bundle from running, or end it
worker      BYE        nothing: the connection ends here, and the worker lives on
==========  =========  =========================================================================

A worker begins nothing before it has heard GO. So the engine knows of every bundle whether it can have begun, however
the worker, its node or its batch job ends.

The layout of a bundle begins with versions and that of an answer with a refusal, whatever else changes: so each side
can tell the other in words that they do not fit together.
"""

from __future__ import annotations

import hmac
from enum import IntEnum
from typing import Final

import msgspec

from afield.wire.jobs import JOB_VERSION

__all__ = ["BUNDLE_VERSION", "GIVE_BACK_AFTER_S", "Answer", "Bundle", "Door", "Entry", "Fate", "Go", "Introduction",
           "Parcel", "Part", "Say", "StopOne", "Versions", "decode_bundle", "misfit", "proof"]  # fmt: skip

#: Goes up whenever either side of the previous version could misread the other.
BUNDLE_VERSION: Final = 1
#: Seconds after which a worker gives back what it has not begun of a bundle, and delivers what is done.
GIVE_BACK_AFTER_S: Final = 0.05


class Say(IntEnum):
    """The words of the control channel."""

    CHALLENGE = 1
    HELLO = 2
    WELCOME = 3
    TAKEN = 4
    GO = 5
    BACK = 6
    PART = 7
    GOT = 8
    STOP = 9
    BYE = 10


class Fate(IntEnum):
    """What became of a job."""

    #: it answered; the body is its encoded Outcome
    DONE = 0
    #: its worker died under it; the body says how
    DIED = 1
    #: it was stopped, because somebody wanted it so
    STOPPED = 2
    #: it was stopped, because its time was over
    TIMEOUT = 3


class Door(msgspec.Struct, frozen=True, array_like=True):
    """Where the engine listens."""

    addresses: tuple[str, ...]
    port: int
    #: who knows it is the engine, or a worker of it
    secret: bytes
    #: encrypted
    tls: bool


class Parcel(msgspec.Struct, frozen=True, array_like=True):
    """One job of a bundle."""

    task_id: str
    #: an encoded Job; of several in a bundle with the same code, only the first has it
    body: bytes
    timeout_s: float | None = None


class Versions(msgspec.Struct, frozen=True, array_like=True):
    """How every bundle begins, in all versions."""

    bundle: int
    job: int
    #: of Parsl, at the endpoint
    parsl: str
    #: of Afield, at the endpoint
    afield: str


class Bundle(msgspec.Struct, frozen=True, array_like=True):
    """Some jobs for one worker."""

    versions: Versions
    number: int
    #: None: there is no control channel. Then a bundle has one job only
    door: Door | None
    #: where jobs run; None: where the worker does
    working_dir: str | None
    jobs: list[Parcel]


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What became of one job."""

    #: its place in the bundle
    index: int
    fate: Fate
    #: microseconds that it ran
    run_us: int
    body: bytes
    #: the process that ran it
    pid: int


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What became of a bundle, as far as no part has told it."""

    #: for people: why no bundle can be run here; empty: it can
    refusal: str
    number: int = -1
    entries: list[Entry] = []
    #: places of jobs that have not begun, and will not begin here
    given_back: list[int] = []
    #: for people: why the engine could not be reached, and nothing has begun; empty: it could
    unreachable: str = ""


class Introduction(msgspec.Struct, frozen=True, array_like=True):
    """Who a worker is."""

    nonce: bytes
    proof: bytes
    #: names of Parsl's: the pool of workers on a node, its size, the worker's place in it, the block of the node
    pool: str
    pool_size: int
    rank: int
    block: str
    host: str
    pid: int
    python: str
    #: bytes of the node's memory
    memory: int


class Go(msgspec.Struct, frozen=True, array_like=True):
    """Begin a bundle."""

    number: int
    #: jobs that nobody wants any more
    without: list[int]


class Part(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a bundle before its end."""

    number: int
    entries: list[Entry]
    given_back: list[int]


class StopOne(msgspec.Struct, frozen=True, array_like=True):
    """End one job."""

    number: int
    index: int


class _Head(msgspec.Struct, frozen=True, array_like=True):
    """The beginning of a bundle."""

    versions: Versions


_head: Final = msgspec.msgpack.Decoder(_Head).decode
_bundle: Final = msgspec.msgpack.Decoder(Bundle).decode


def decode_bundle(data: bytes, parsl: str, afield: str) -> Bundle | str:
    """A bundle; or for people, why this worker cannot read it.

    :param parsl: the version of Parsl here
    :param afield: the version of Afield here
    """
    versions = _head(data).versions
    return misfit(versions, parsl=parsl, afield=afield) or _bundle(data)


def misfit(versions: Versions, *, parsl: str, afield: str) -> str:
    """Why this worker cannot work for an endpoint of these versions; empty: it can.

    :param parsl: the version of Parsl here
    :param afield: the version of Afield here
    """
    if (versions.bundle, versions.job) != (BUNDLE_VERSION, JOB_VERSION):
        return (
            f"the workers have afield {afield} and the endpoint has {versions.afield}, which do not understand each "
            f"other: run `pip install 'afield[parsl]=={versions.afield}'` in the workers' Python environment"
        )
    if versions.parsl != parsl:
        return (
            f"the workers have parsl {parsl} and the endpoint has {versions.parsl}: run `pip install "
            f"parsl=={versions.parsl}` in the workers' Python environment"
        )
    return ""


def proof(secret: bytes, who: bytes, *parts: bytes) -> bytes:
    """What only somebody who knows the secret can say.

    :param who: ``b"worker"`` or ``b"engine"``: one side's proof is of no use to the other
    :param parts: nonces of both sides, and what ties them to this connection
    """
    digest = hmac.new(secret, who, "sha256")
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()
