"""The authorization server, put together.

Each part is made, and what it takes is loaded, when somebody first needs it: a service that nobody logs in to starts as
if none of this were there.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from afield.errors import ConfigurationError
from afield.service.auth.tokens import BearerTokens
from afield.service.clock import Clock
from afield.service.domain.proxies import Proxies
from afield.service.settings import SignIn
from afield.service.store.base import Store

if TYPE_CHECKING:
    from afield.service.auth.oauth.authorize import Codes
    from afield.service.auth.oauth.browser import Browsers
    from afield.service.auth.oauth.device import Devices
    from afield.service.auth.oauth.errands import Errands
    from afield.service.auth.oauth.invitation import Invitations
    from afield.service.auth.oauth.issue import Issuer
    from afield.service.auth.oauth.keys import SigningKeys
    from afield.service.auth.oauth.login import PasswordLogin
    from afield.service.auth.oauth.sealed import Seal
    from afield.service.auth.oauth.token import TokenEndpoint
    from afield.service.auth.passwords import Passwords
    from afield.service.pages.render import Pages

__all__ = ["OAuth", "OutsideLogin"]


class OutsideLogin(Protocol):
    """HOOK: another place where people can prove who they are. It is offered on the page to log in.

    Its page sends the browser away, and when that comes back, calls
    :func:`afield.service.api.oauth_pages.logged_in` with who that was and the errand.
    """

    @property
    def name(self) -> str:
        """For people."""

    def url(self, errand: str) -> str:
        """A path on this service that begins the login there.

        :param errand: to be carried along
        """


class OAuth:
    """All parts, over one store.

    :param secret: the service's own
    :param public_url: by which people and programs reach it; None: as their requests say
    :param proxies: addresses and networks of those whose word is taken for where a request came from
    :raises ConfigurationError: the public URL is none, or a proxy is neither an address nor a network
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        tokens: BearerTokens,
        *,
        secret: bytes,
        times: SignIn | None = None,
        public_url: str | None = None,
        proxies: tuple[str, ...] = (),
    ) -> None:
        self.people, self.clock, self.tokens = store.people, clock, tokens
        self.times = times or SignIn()
        self.public_url = None if public_url is None else _origin(public_url)
        self.proxies = Proxies(proxies)
        #: other places to log in, by a name that is in their addresses
        self.outside: dict[str, OutsideLogin] = {}
        self._secret = secret

    @cached_property
    def browsers(self) -> Browsers:
        """Who sits at which."""
        from afield.service.auth.oauth.browser import Browsers

        is_secure = self.public_url is not None and self.public_url.startswith("https:")
        return Browsers(self.people, self.clock, self._seal, self.times.session_s, is_secure=is_secure)

    @cached_property
    def errands(self) -> Errands:
        """What people come for."""
        from afield.service.auth.oauth.errands import Errands

        return Errands(self._seal, self.clock, self.times.page_s)

    @cached_property
    def passwords(self) -> Passwords:
        """Those of local accounts."""
        from afield.service.auth.passwords import Passwords

        return Passwords(memory_kib=self.times.password_memory_kib, rounds=self.times.password_rounds)

    @cached_property
    def login(self) -> PasswordLogin:
        """With a local account."""
        from afield.service.auth.oauth.login import PasswordLogin

        return PasswordLogin(self.people, self.passwords, self.clock, self.times)

    @cached_property
    def invitations(self) -> Invitations:
        """Links by which people set their passwords."""
        from afield.service.auth.oauth.invitation import Invitations

        return Invitations(self.people, self.passwords, self.clock)

    @cached_property
    def codes(self) -> Codes:
        """What browsers carry to programs."""
        from afield.service.auth.oauth.authorize import Codes

        return Codes(self.people, self.tokens, self.clock, self.times)

    @cached_property
    def devices(self) -> Devices:
        """Programs that have no browser."""
        from afield.service.auth.oauth.device import Devices

        return Devices(self.people, self.clock, self.times)

    @cached_property
    def token_endpoint(self) -> TokenEndpoint:
        """Where programs get tokens."""
        from afield.service.auth.oauth.token import TokenEndpoint

        return TokenEndpoint(
            self.people, self.tokens, self._issuer, codes=self.codes, devices=self.devices, times=self.times
        )

    @cached_property
    def keys(self) -> SigningKeys:
        """What signs."""
        from afield.service.auth.oauth.keys import SigningKeys

        return SigningKeys(self.people, self.clock, self._secret)

    @cached_property
    def pages(self) -> Pages:
        """What people see."""
        from afield.service.pages.render import Pages

        return Pages()

    @cached_property
    def _issuer(self) -> Issuer:
        from afield.service.auth.oauth.issue import Issuer

        return Issuer(self.people, self.tokens, lambda: self.keys, self.clock, self.times)

    @cached_property
    def _seal(self) -> Seal:
        from afield.service.auth.oauth.sealed import Seal

        return Seal(self._secret)


def _origin(public_url: str) -> str:
    parts = urlsplit(public_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"} or parts.query:
        raise ConfigurationError(
            f"--public-url {public_url} is not such as https://compute.example.org: a scheme and a host, perhaps a "
            "port, and nothing behind them"
        )
    return f"{parts.scheme}://{parts.netloc}"
