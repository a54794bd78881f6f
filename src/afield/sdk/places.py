"""The part of ``Client`` that is about endpoints."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from afield.ids import parse_id
from afield.sdk.checks import json_object, said, text
from afield.wire.rest import EndpointRegistration

if TYPE_CHECKING:
    from afield.sdk.session import Session

__all__ = ["EndpointCalls"]

UUIDlike = uuid.UUID | str


class EndpointCalls(ABC):
    """What a service can be asked about endpoints."""

    @abstractmethod
    def session(self) -> Session:
        """Where to ask."""

    @abstractmethod
    def register_source_code(self, source: str, function_name: str) -> str:
        """Register a function given as source; its id."""

    @abstractmethod
    def run(self, *args: Any, endpoint_id: UUIDlike, function_id: UUIDlike, **kwargs: Any) -> str:
        """Send one call; the task's id."""

    def register_endpoint(  # noqa: PLR0917 - as published
        self,
        name: str,
        endpoint_id: UUIDlike | None,
        metadata: dict[str, Any] | None = None,
        multi_user: bool | None = None,  # noqa: FBT001 - as published
        display_name: str | None = None,
        allowed_functions: Sequence[UUIDlike] | None = None,
        auth_policy: UUIDlike | None = None,
        subscription_id: UUIDlike | None = None,
        public: bool | None = None,  # noqa: FBT001 - as published
        high_assurance: bool | None = None,  # noqa: FBT001 - as published
        admins: Sequence[UUIDlike] | None = None,
    ) -> dict[str, Any]:
        """Register an endpoint, or register it again.

        :param endpoint_id: None: a new one
        :param metadata: versions, hostname, template: what endpoints say of themselves
        :param multi_user: whether it maps identities to accounts of its machine
        :param allowed_functions: None: all may run there
        :param auth_policy: the authentication policy that whoever runs tasks there must satisfy
        :param subscription_id: published; kept
        :param public: whether everybody may see it
        :param high_assurance: whether results are only given to who satisfies the policy; it must be a strict one
        :param admins: identities who may change it beside its owner
        :return: its ``endpoint_id`` and the credentials of its queues
        :raises InvalidId: one of the ids is none
        :raises TypeError: a value is of the wrong kind
        :raises ValueError: it has no name, or one that cannot be kept
        """
        if not name:
            raise ValueError(f"name should be what the endpoint is called, and is {name!r}")
        text("name", name)
        if display_name is not None:
            text("display_name", display_name)
        json_object(metadata, "metadata")
        registration = EndpointRegistration(
            endpoint_name=name,
            metadata=metadata or {},
            display_name=display_name,
            multi_user=bool(multi_user),
            public=bool(public),
            high_assurance=bool(high_assurance),
            allowed_functions=_ids("allowed_functions", allowed_functions, "function"),
            authentication_policy=None if auth_policy is None else str(auth_policy),
            subscription_uuid=None if subscription_id is None else str(subscription_id),
            admins=_ids("admins", admins, "identity"),
        )
        known = None if endpoint_id is None else parse_id(endpoint_id, "endpoint")
        # Without an id, each repetition would make another endpoint.
        answer = self.session().call(
            lambda service: service.register_endpoint(registration, known), again=known is not None
        )
        registered: dict[str, Any] = msgspec.to_builtins(answer)
        return registered

    def get_endpoints(self, role: str | None = None, search: str | None = None) -> list[dict[str, Any]]:
        """Endpoints.

        :param role: ``"owner"`` (also None): your own; ``"any"``: all that you may use
        :param search: part of a name, or of the machine's
        :return: for each ``uuid``, ``name``, ``display_name``, ``owner``, ``hostname``, ``status``
        :raises ValueError: there is no such role
        """
        if role not in {None, "owner", "any"}:
            raise ValueError(f'role should be "owner" or "any", not {role!r}')
        if search is not None:
            text("search", search)
        found = self.session().call(lambda service: service.endpoints(role, search))
        return [msgspec.structs.asdict(each) for each in found]

    def get_endpoint_status(self, endpoint_uuid: UUIDlike) -> dict[str, Any]:
        """``status``, ``"online"`` or ``"offline"``, and ``details``: what it said of itself last."""
        found = parse_id(endpoint_uuid, "endpoint")
        return msgspec.structs.asdict(self.session().call(lambda service: service.endpoint_status(found)))

    def get_endpoint_metadata(self, endpoint_uuid: UUIDlike) -> dict[str, Any]:
        """What an endpoint is: name, machine, versions, template."""
        found = parse_id(endpoint_uuid, "endpoint")
        return msgspec.structs.asdict(self.session().call(lambda service: service.endpoint(found)))

    def get_allowed_functions(self, endpoint_id: UUIDlike) -> dict[str, Any]:
        """Which functions may run there: ``restricted``, and ``functions`` if so."""
        found = parse_id(endpoint_id, "endpoint")
        return msgspec.structs.asdict(self.session().call(lambda service: service.allowed_functions(found)))

    def stop_endpoint(self, endpoint_id: UUIDlike) -> dict[str, Any]:
        """Drop an endpoint's connections, and keep it from coming back for a while."""
        found = parse_id(endpoint_id, "endpoint")
        return msgspec.structs.asdict(self.session().call(lambda service: service.lock_endpoint(found)))

    def delete_endpoint(self, endpoint_id: UUIDlike) -> dict[str, Any]:
        """Remove an endpoint."""
        found = parse_id(endpoint_id, "endpoint")
        return self.session().call(lambda service: service.delete_endpoint(found))

    def get_worker_hardware_details(self, endpoint_id: UUIDlike) -> str:
        """Have an endpoint describe the machine that its workers run on.

        :return: the id of a task, whose result is text
        """
        from afield.sdk.hardware import ENTRY_POINT, SOURCE

        return self.run(endpoint_id=endpoint_id, function_id=self.register_source_code(SOURCE, ENTRY_POINT))


def _ids(name: str, values: Sequence[UUIDlike] | None, what: str) -> list[str] | None:
    if not isinstance(values, list | tuple | set | frozenset | None):
        raise TypeError(f"{name} should be a list of ids or None, and is {said(values)}")
    return None if values is None else [parse_id(value, what) for value in values]
