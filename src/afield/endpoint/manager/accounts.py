"""Accounts of this machine: whether one may have tasks run, and what its processes begin with.

:func:`refusal`, :func:`way_out` and :func:`environment_of` are PURE; the others ask the machine.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from afield.endpoint.settings import ManagerSettings
from afield.errors import ConfigurationError

if TYPE_CHECKING:
    from afield.endpoint.manager.identity import Candidates

__all__ = [
    "Account", "Tenant", "environment_of", "expiry", "find_account", "judged", "may_map", "refusal", "way_out",
]  # fmt: skip

#: Shells that say: nobody works here. The last three are of accounts that every Red Hat has, in the group of root.
_NO_SHELLS: Final = frozenset({"nologin", "false", "sync", "halt", "shutdown"})
#: Where programs are looked for when user_environment.yaml does not say so (published).
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
#: How a site's machines reach the world: user endpoints need it as their manager does.
_CERTIFICATES: Final = ("AFIELD_CA_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXIES: Final = (
    "AFIELD_AMQP_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
_SHADOW: Final = Path("/etc/shadow")
_EXPIRES: Final = 7


@dataclass(frozen=True, slots=True)
class Account:
    """A line of the machine's list of accounts.

    :param home: its home directory
    :param shell: its shell
    """

    name: str
    uid: int
    gid: int
    home: str
    shell: str
    gecos: str = ""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Somebody who was mapped.

    :param identity: the id of the identity that matched
    :param candidates: what the rules said of all of their identities, up to the match
    """

    account: Account
    identity: str
    candidates: tuple[Candidates, ...] = ()


def find_account(name: str) -> Account:
    """The account called ``name``.

    This may wait for a directory service.

    :raises ConfigurationError: there is none
    """
    try:
        record = pwd.getpwnam(name)
    except (KeyError, ValueError, UnicodeEncodeError) as error:
        raise ConfigurationError(
            f"there is no account {name!r} on this machine, to which the endpoint's identity mapping leads: its "
            "administrator can make it, or correct the mapping"
        ) from error
    return Account(record.pw_name, record.pw_uid, record.pw_gid, record.pw_dir, record.pw_shell, record.pw_gecos)


def expiry(name: str, shadow: Path = _SHADOW) -> int | None:
    """The day since 1970 from which an account is shut; None: there is none, or this machine's own file has it not."""
    try:
        lines = shadow.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split(":")
        if fields[0] == name and len(fields) > _EXPIRES and fields[_EXPIRES].isdecimal():
            return int(fields[_EXPIRES])
    return None


def refusal(
    account: Account, *, own_uid: int, allow_same: bool, expires: int | None, today: int, pam: bool
) -> str | None:
    """Why tasks may not run as an account; None: they may.

    :param own_uid: of the manager
    :param allow_same: whether that one may be meant, if it is not root
    :param expires: as :func:`expiry`
    :param today: days since 1970
    :param pam: whether PAM judges whether the account is open, so that it need not be judged here
    """
    name = account.name
    if account.uid == 0:
        return f"the identity mapping of this endpoint leads to {name}, which is root: tasks never run as root"
    if account.uid == own_uid and not allow_same:
        return (
            f"the identity mapping of this endpoint leads to {name}, as whom the endpoint itself runs: tasks could "
            "take it over"
        )
    if not pam and Path(account.shell).name in _NO_SHELLS:
        return f"the account {name} is shut on this machine: its shell is {account.shell}"
    if not pam and expires is not None and expires <= today:
        return f"the account {name} on this machine has expired: ask the machine's administrators"
    return None


def way_out(own: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """How the machine reaches the world, for accounts' processes: variables, and names of those that are kept from
    them, for there is a login in them.

    :param own: the manager's environment
    """
    found = {name: own[name] for name in (*_CERTIFICATES, *_PROXIES) if name in own}
    secret = [name for name, value in found.items() if name in _PROXIES and "@" in value]
    return {name: value for name, value in found.items() if name not in secret}, secret


def environment_of(account: Account, given: Mapping[str, str]) -> dict[str, str]:
    """All that the processes of an account find in their environment.

    :param given: what is the same for everybody: the machine's :func:`way_out`, and what the administrator wrote
    """
    own = {
        "HOME": account.home,
        "USER": account.name,
        "LOGNAME": account.name,
        "SHELL": account.shell or "/bin/sh",
        "PATH": _PATH,
    }
    return {**own, **given}


def judged(name: str, settings: ManagerSettings, now: float) -> tuple[Account, str | None]:
    """An account, and why tasks may not run as it; None: they may. This may wait for a directory service.

    :param now: unix seconds
    :raises ConfigurationError: there is none of that name
    """
    account = find_account(name)
    return account, refusal(
        account,
        own_uid=os.getuid(),
        allow_same=settings.force_mt_allow_same_user,
        expires=expiry(account.name),
        today=int(now // 86_400),
        pam=settings.pam.enable,
    )


def may_map() -> bool:
    """Whether this process can become other accounts."""
    return os.geteuid() == 0
