"""Looking identities up, and what somebody let programs do (the published Auth API's two lists)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from zlib import crc32

from afield.ids import parse_id
from afield.service.auth.oauth.userinfo import provider_name
from afield.service.domain import refusals
from afield.service.domain.caller import Caller
from afield.service.domain.people import ConsentRecord, IdentityRecord
from afield.service.store.people import People
from afield.service.store.texts import is_text

__all__ = ["consents", "identities"]

_MOST: Final = 200


async def identities(
    people: People, caller: Caller, ids: str | None, usernames: str | None, *, with_providers: bool = False
) -> dict[str, Any]:
    """Those that exist of the named ones, by ids or by usernames. E-mail addresses are told only of the caller's own.

    :param ids: separated by commas; None: not by these
    :param usernames: likewise
    :raises Refusal: neither is given or both are, something is no id, or they are too many
    """
    if (ids is None) == (usernames is None):
        raise refusals.malformed("Name either ids or usernames, separated by commas.")
    named = [each.strip() for each in (ids or usernames or "").split(",") if each.strip()]
    if len(named) > _MOST:
        raise refusals.malformed(f"At most {_MOST} identities can be looked up at once. Ask for fewer.")
    found: list[IdentityRecord]
    if ids is not None:
        wanted = [parse_id(each, "identity") for each in named]
        by_id = await people.identities(wanted)
        found = [by_id[each] for each in dict.fromkeys(wanted) if each in by_id]
    else:
        found = await people.identities_named([each for each in named if is_text(each)])
    answer: dict[str, Any] = {"identities": [_identity(one, caller) for one in found]}
    if with_providers:
        providers = {one.provider: provider_name(one) for one in found}
        answer["included"] = {"identity_providers": [{"id": each, "name": name} for each, name in providers.items()]}
    return answer


def _identity(identity: IdentityRecord, caller: Caller) -> dict[str, Any]:
    return {
        "id": identity.id,
        "username": identity.username,
        "name": identity.name,
        "email": identity.email if caller.is_one_of(identity.id) else None,
        "organization": identity.organization,
        "identity_provider": identity.provider,
        "identity_type": "service" if identity.provider == "client" else "login",
        "status": "used",
    }


async def consents(people: People, caller: Caller, identity_id: str) -> dict[str, Any]:
    """What somebody consented to, one entry for a scope; their own only.

    :raises Refusal: it is somebody else's, or no id
    """
    identity_id = parse_id(identity_id, "identity")
    if not caller.is_one_of(identity_id):
        raise refusals.Refusal(
            403, "FORBIDDEN", f"What {identity_id} consented to is told to nobody else. Ask for your own."
        )
    found = await people.consents_of(identity_id)
    return {"consents": [_consent(record, scope) for record in found for scope in record.scopes]}


def _consent(record: ConsentRecord, scope: str) -> dict[str, Any]:
    when = datetime.fromtimestamp(record.created_at, UTC).isoformat()
    number = crc32(f"{record.client_id} {scope}".encode())
    return {
        "id": number,
        "dependency_path": [number],
        "client": record.client_id,
        "scope": scope,
        "scope_name": scope,
        "effective_identity": record.identity_id,
        "status": "approved",
        "allows_refresh": True,
        "auto_approved": False,
        "atomically_revocable": False,
        "created": when,
        "updated": when,
        "last_used": when,
    }
