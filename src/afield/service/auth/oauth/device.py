"""Logging in where there is no browser: a terminal, a notebook on a far machine (RFC 8628).

The device asks for two codes. It shows the short one, and asks with the long one until a person, in a browser anywhere,
has typed the short one and confirmed. What the device polls with is never written to while it waits, so that no poll
undoes what the person said; how often it polls is counted by each process for itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from afield.service.auth.oauth.attempts import Attempts, network_of
from afield.service.auth.oauth.authorize import asked_scopes
from afield.service.auth.oauth.browser import LoggedIn
from afield.service.auth.oauth.fields import needed
from afield.service.auth.oauth.issue import Grant, new_family
from afield.service.auth.oauth.needs import NOTHING, Needs, parse_needs
from afield.service.auth.oauth.problems import OAuthError, invalid_grant
from afield.service.auth.oauth.scopes import OFFLINE
from afield.service.auth.tokens import digest_of
from afield.service.clock import Clock
from afield.service.domain.people import ClientRecord, TicketRecord
from afield.service.settings import SignIn
from afield.service.store.people import People

__all__ = ["DEVICE_GRANT", "DeviceRequest", "Devices", "normal_user_code"]

DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"

# No vowels, so no words; nothing that looks like something else (section 6.1). 20 to the power of 8 codes.
_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
_LENGTH: Final = 8
_SLOWER_S: Final = 5.0
#: A poll may come this much of the pause after the last one: networks are not even.
_JITTER: Final = 0.8
#: Codes that one address may ask for, and wrong ones that it may type, in a minute.
_PER_MINUTE: Final = 30
_MOST_POLLED: Final = 10_000


class DeviceRequest(msgspec.Struct, frozen=True, omit_defaults=True, tag="device"):
    """What a device asks for."""

    client_id: str
    scopes: tuple[str, ...]
    #: of the device code, in hex
    device: str
    user_code: str
    #: where it asks from
    address: str
    asked_at: float
    label: str | None = None
    offline: bool = True
    needs: Needs = NOTHING


def normal_user_code(typed: str) -> str:
    """What was meant by what was typed: case, spaces and the dash say nothing."""
    return "".join(each for each in typed.upper() if each in _LETTERS)[: _LENGTH + 1]


class Devices:
    """Gives codes to devices, hears people, and answers."""

    def __init__(self, people: People, clock: Clock, times: SignIn) -> None:
        self._people, self._clock, self._times = people, clock, times
        self._asked = Attempts(_PER_MINUTE, 60.0)
        self._typed = Attempts(_PER_MINUTE, 60.0)
        # device -> (when it may ask again, seconds between)
        self._polls: dict[str, tuple[float, float]] = {}

    async def start(
        self, client: ClientRecord, fields: Mapping[str, str], address: str, page: str
    ) -> dict[str, str | int]:
        """A device asks for codes (section 3.1); what it is told.

        :param address: where it asks from
        :param page: where people type the short code
        :raises OAuthError: it asks for what there is not, or too often
        """
        now = self._clock.now()
        network = network_of(address)
        _not_too_often(self._asked, network, now)
        self._asked.count(network, now)
        scope = needed(fields, "scope")
        scopes = asked_scopes(client, scope)
        needs = parse_needs(fields, now)
        device_code, user_code = secrets.token_urlsafe(32), "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
        request = DeviceRequest(
            client_id=client.id,
            scopes=scopes,
            device=digest_of(device_code).hex(),
            user_code=user_code,
            address=address,
            asked_at=now,
            label=fields.get("prefill_named_grant", "")[:100] or None,
            offline=fields.get("access_type", "offline") == "offline" or OFFLINE in scope.split(),
            needs=needs,
        )
        until = now + self._times.device_s
        content: dict[str, Any] = msgspec.to_builtins(request)
        await self._people.put_ticket(TicketRecord(digest_of(device_code), "device", content, until))
        await self._people.put_ticket(TicketRecord(_typed(user_code), "user-code", content, until))
        shown = f"{user_code[:4]}-{user_code[4:]}"
        return {
            "device_code": device_code,
            "user_code": shown,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={shown}",
            "expires_in": int(self._times.device_s),
            "interval": int(self._times.device_interval_s),
        }

    async def find(self, typed: str, address: str) -> DeviceRequest | None:
        """What the device with this short code asks for; None: there is none.

        :raises OAuthError: too many wrong ones came from this address
        """
        now = self._clock.now()
        network = network_of(address)
        _not_too_often(self._typed, network, now)
        ticket = await self._people.ticket(_typed(normal_user_code(typed)))
        if ticket is None or now >= ticket.expires_at:
            self._typed.count(network, now)
            return None
        return msgspec.convert(ticket.content, DeviceRequest)

    async def answer(self, request: DeviceRequest, person: LoggedIn | None) -> bool:
        """A person has said yes, or no (None); whether it still counted."""
        taken = await self._people.take_ticket(_typed(request.user_code))
        if taken is None or self._clock.now() >= taken.expires_at:
            return False
        grant = None
        if person is not None:
            grant = Grant(
                client_id=request.client_id,
                identity_id=person.identity.id,
                scopes=request.scopes,
                family=new_family(),
                session=person.session,
                offline=request.offline,
            )
        content = {"grant": msgspec.to_builtins(grant)}
        until = taken.expires_at + self._times.device_interval_s
        await self._people.put_ticket(TicketRecord(_answered(request.device), "device-answer", content, until))
        return True

    async def poll(self, client: ClientRecord, fields: Mapping[str, str]) -> tuple[Grant, str]:
        """The device asks again (section 3.4); what it was granted, and a label.

        :raises OAuthError: not yet, not so often, no, or too late (section 3.5)
        """
        digest = digest_of(needed(fields, "device_code"))
        device, now = digest.hex(), self._clock.now()
        ticket = await self._people.ticket(digest)
        if ticket is None or ticket.kind != "device":
            raise invalid_grant("This device code is not known, or was used. Start again.")
        request = msgspec.convert(ticket.content, DeviceRequest)
        if request.client_id != client.id:
            raise invalid_grant("This device code was given to another client. Start again.")
        answer = await self._people.take_ticket(_answered(device))
        if answer is None:
            raise self._not_yet(device, now, ticket.expires_at)
        await self._people.take_ticket(digest)
        self._polls.pop(device, None)
        grant = msgspec.convert(answer.content["grant"], Grant | None)
        if grant is None:
            raise OAuthError("access_denied", "The person said no. Start again if that was a mistake.")
        return grant, request.label or client.name

    def _not_yet(self, device: str, now: float, until: float) -> OAuthError:
        if now >= until:
            self._polls.pop(device, None)
            return OAuthError("expired_token", "Nobody confirmed the code in time. Start again.")
        may_ask, pause_s = self._polls.get(device, (0.0, self._times.device_interval_s))
        too_soon = now < may_ask
        if too_soon:
            pause_s += _SLOWER_S
        if len(self._polls) >= _MOST_POLLED:
            self._polls.clear()
        self._polls[device] = (now + _JITTER * pause_s, pause_s)
        if too_soon:
            return OAuthError("slow_down", f"Ask every {pause_s:.0f} seconds, not more often.")
        return OAuthError("authorization_pending", "Nobody has confirmed the code yet. Ask again.")


def _not_too_often(attempts: Attempts, address: str, now: float) -> None:
    wait_s = attempts.wait_s(address, now)
    if wait_s > 0:
        again = f"{int(wait_s) + 1}"
        raise OAuthError(
            "slow_down",
            f"Too many of these from one address. Try again in {again} seconds.",
            429,
            {"retry-after": again},
        )


def _typed(user_code: str) -> bytes:
    return digest_of(f"user-code:{user_code}")


def _answered(device: str) -> bytes:
    return digest_of(f"device-answer:{device}")
