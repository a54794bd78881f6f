"""Which versions go together: published clients and endpoints with this service, a submit's compiled code with the
workers.

Theory. What a serializer compiles (bytecode, or pickles that hold some) is good for one minor version of Python: on
another it crashes the worker or, worse, gives wrong results without a word. Who compiled it is known of functions, from
their registration, and of arguments, where the submitter says that some hold compiled code. Where a version is not
known, nothing is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from afield.service.domain import refusals
from afield.service.domain.records import EndpointRecord, FunctionRecord, UserEndpointRecord
from afield.service.domain.refusals import Refusal
from afield.wire.rest import EndpointRegistration, SubmitRequest

__all__ = ["OLDEST_PUBLISHED_ENDPOINT", "OLDEST_PUBLISHED_SDK", "check_endpoint", "check_python", "workers_python"]

#: The oldest published SDK whose requests are the ones that this service answers; it was called funcx then.
OLDEST_PUBLISHED_SDK: Final = "1.0.13"

#: The oldest published endpoint that reports on a queue of its own. Those before it report among the results.
OLDEST_PUBLISHED_ENDPOINT: Final = "3.1.0"

#: The strategies whose payload is compiled code (reference: wire contract section 6).
_COMPILED: Final = frozenset({"01", "02"})

_VERSION: Final = re.compile(r"(\d{1,3})\.(\d{1,3})(\.\d{1,3})?")


def check_endpoint(registration: EndpointRegistration) -> Refusal | None:
    """The refusal of a published endpoint that could not work here.

    Nothing is known of one that does not say its version, and one of ours has other numbers.
    """
    said = registration.metadata
    version = _version(said.get("endpoint_version"))
    if version is None or "afield_wire" in said:
        return None
    if _numbers(version) < _numbers(OLDEST_PUBLISHED_ENDPOINT):
        return refusals.endpoint_outdated(version, OLDEST_PUBLISHED_ENDPOINT)
    if "user_config_template" not in said:
        return refusals.endpoint_without_template(version)
    return None


def workers_python(endpoint: EndpointRecord | None, user_endpoint: UserEndpointRecord | None) -> str | None:
    """The Python of a user endpoint's workers, such as ``3.12.1``; None: nobody has said.

    It says so in its reports; before the first, what its core endpoint said when it registered stands for it.
    """
    said = user_endpoint.state.get("python_version") if user_endpoint is not None else None
    if said is None and endpoint is not None:
        said = endpoint.metadata.get("python_version")
    return _version(said)


def check_python(
    request: SubmitRequest, functions: Mapping[str, FunctionRecord], workers: str | None
) -> Refusal | None:
    """The refusal of a submit that brings compiled code to workers which cannot read it.

    :param functions: those of the request, by their keys there
    :param workers: see :func:`workers_python`
    """
    if workers is None:
        return None
    makers = {key: made_by for key, one in functions.items() if (made_by := _compiled_by(one))}
    odd = {key: made_by for key, made_by in makers.items() if _minor(made_by) != _minor(workers)}
    if odd:
        names = ", ".join(sorted({repr(functions[key].name) for key in odd}))
        what = f"Function {names} was" if len(odd) == 1 else f"Functions {names} were"
        return refusals.python_mismatch(what, next(iter(odd.values())), workers, [workers, *odd])
    submitter = _submitters_python(request)
    if request.compiled and submitter is not None and _minor(submitter) != _minor(workers):
        return refusals.python_mismatch("Arguments of the tasks hold code", submitter, workers, [workers])
    return None


def _compiled_by(function: FunctionRecord) -> str | None:
    """The Python that compiled it; None: it is no compiled code, or nobody said."""
    said = function.metadata or {}
    strategy = said.get("serde_identifier")
    if not isinstance(strategy, str):  # nobody has to say it: the code begins with its length, then with it
        strategy = function.code[:40].partition(b"\n")[2][:2].decode(errors="replace")
    return _version(said.get("python_version")) if strategy.strip() in _COMPILED else None


def _submitters_python(request: SubmitRequest) -> str | None:
    python = (request.user_runtime or {}).get("python")
    parts = python.get("version_tuple") if isinstance(python, dict) else None
    return _version(".".join(map(str, parts))) if isinstance(parts, list) else None


def _version(said: object) -> str | None:
    """The beginning of what was said that is a version: ``sys.version`` goes on after it."""
    found = _VERSION.match(said) if isinstance(said, str) else None
    return found[0] if found else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
