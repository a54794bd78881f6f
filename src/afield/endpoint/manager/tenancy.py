"""Many users on one host: from a command to the account whose it is, and to a process that runs as it.

Only root can become others. A manager that is not root, or whose file names no identity mapping, has no tenancy: it
serves its owner, with its own account (published).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Final

import msgspec

from afield.endpoint.agent.orders import Start
from afield.endpoint.host.credentials import with_port_everywhere
from afield.endpoint.host.directory import EndpointDirectory
from afield.endpoint.manager import accounts
from afield.endpoint.manager.accounts import Account, Tenant
from afield.endpoint.manager.enquiry import Enquiry
from afield.endpoint.manager.errand import Seated, errand_for, under
from afield.endpoint.manager.lending import rules_for_tasks
from afield.endpoint.manager.lodger import Become, Lodger
from afield.endpoint.manager.mapping import IdentityMapper, refuse_foreign_file
from afield.endpoint.manager.owner import below, read_environment
from afield.endpoint.settings import ManagerSettings
from afield.errors import ConfigurationError
from afield.wire.commands import StartCommand

__all__ = ["NoAccount", "Tenancy", "maps_identities"]

logger = logging.getLogger("afield.endpoint")

#: How long the machine's list of accounts may take, in seconds: it may be a directory service elsewhere.
_ACCOUNTS_S: Final = 15.0
#: How many questions to it may be open at once: while it hangs, each keeps a thread.
_QUESTIONS_MOST: Final = 8
#: How many warnings an account's process may have written to the log, and how many characters of each.
_WARNINGS_MOST: Final = 20
_WARNING_LONGEST: Final = 600


class NoAccount(ConfigurationError):  # noqa: N818 - says what it is
    """The rules of this endpoint, or the account itself, say that somebody may not have tasks run here."""


def maps_identities(settings: ManagerSettings) -> bool:
    """Whether this process, with these settings, runs tasks as other accounts.

    :raises ConfigurationError: it would, and something that this needs is missing
    """
    if settings.identity_mapping_config_path is None or not accounts.may_map():
        return False
    if not settings.email:
        raise ConfigurationError(
            "config.yaml: where identities are mapped to accounts, email has to say whom people may ask: add "
            "`email: somebody@example.org`"
        )
    return True


class Tenancy:
    """What a manager needs to serve many accounts.

    :param mapper: the rules
    :param clock: unix time in seconds
    """

    def __init__(
        self,
        directory: EndpointDirectory,
        settings: ManagerSettings,
        endpoint_id: str,
        mapper: IdentityMapper,
        clock: Callable[[], float],
    ) -> None:
        self._directory, self._settings, self._endpoint_id = directory, settings, endpoint_id
        self._mapper, self._clock = mapper, clock
        self._accounts = Enquiry(_QUESTIONS_MOST, _ACCOUNTS_S)

    @classmethod
    def of(
        cls, directory: EndpointDirectory, settings: ManagerSettings, endpoint_id: str, clock: Callable[[], float]
    ) -> Tenancy | None:
        """What the settings ask for; None: nobody is mapped here.

        :raises ConfigurationError: the mapping is wrong, or files that decide are not the administrator's
        """
        path = settings.identity_mapping_config_path
        if not maps_identities(settings):
            if path is not None:
                logger.warning(
                    "identity_mapping_config_path is ignored, because this is not root: only the owner of this "
                    "endpoint is served, and whom they let in"
                )
            return None
        assert path is not None
        elsewhere = (settings.user_config_template_path, settings.user_config_schema_path)
        others = [below(directory, given) for given in elsewhere if given]
        for file in (directory.config, directory.template, directory.schema, directory.environment, *others):
            if file.exists():
                refuse_foreign_file(file)
        for name in accounts.way_out(os.environ)[1]:
            logger.warning(
                "%s holds a login, so the accounts' processes do not get it: if they need it, and everybody here may "
                "know that login, write it into %s",
                name,
                directory.environment.name,
            )
        return cls(directory, settings, endpoint_id, IdentityMapper(below(directory, path), endpoint_id), clock)

    async def identify(self, command: StartCommand) -> Tenant:
        """Whose account a command is for.

        :raises NoAccount: nobody's, or tasks may not run as it
        :raises ConfigurationError: it could not be found out
        """
        match = await self._mapper.match(command.globus_identity_set)
        if match is None:
            ask = self._settings.email
            raise NoAccount(
                f"no account on this machine belongs to {command.globus_username}, by the rules of this endpoint: ask "
                f"{ask} for one"
            )
        account = await self._open_account(match.account)
        return Tenant(account, match.identity, match.candidates)

    async def check(self, tenant: Tenant) -> None:
        """Whether an account is still the one that it was, and open.

        :raises ConfigurationError: it is not
        """
        account = await self._open_account(tenant.account.name)
        if account.uid != tenant.account.uid:
            raise ConfigurationError(f"the account {account.name} of this machine is another one now: submit again")

    async def _open_account(self, name: str) -> Account:
        try:
            now = self._clock()
            account, refused = await self._accounts.ask(lambda: accounts.judged(name, self._settings, now))
        except TimeoutError as error:
            raise ConfigurationError(
                f"this machine's list of accounts did not answer within {_ACCOUNTS_S:.0f} s: try again later; if that "
                f"does not help, tell {self._settings.email} that its name service (nsswitch.conf: passwd) hangs"
            ) from error
        if refused is not None:
            raise NoAccount(refused)
        return account

    def lodger(self, command: StartCommand, tenant: Tenant) -> Lodger:
        """The process of a tenant's user endpoint, not yet started.

        :raises ConfigurationError: the administrator's files are wrong
        """
        self._directory.child(command.kwargs.name)  # refuses what cannot be a name, before anything is made of it
        errand = errand_for(self._directory, self._settings, command, tenant.identity)

        def start_of(seated: Seated) -> Start:
            for warning in seated.warnings[:_WARNINGS_MOST]:
                logger.warning("%s: %s", errand.name, warning[:_WARNING_LONGEST])
            return Start(
                name=errand.name,
                directory=seated.directory,
                settings=under(seated.settings, self._settings, lent=True),
                credentials=with_port_everywhere(command.kwargs.amqp_creds, self._settings.amqp_port),
                facts={
                    **seated.facts,
                    "endpoint_id": self._endpoint_id,
                    "globus_candidate_identities": msgspec.to_builtins(tenant.candidates),
                    "globus_matched_identity": tenant.identity,
                },
                places=seated.places,
                lending=rules_for_tasks(self._settings.lending),
                person=command.globus_effective_identity,
            )

        outward, _ = accounts.way_out(os.environ)
        given = read_environment(self._directory)
        become = Become.of(tenant.account, given, self._settings.user_limits, self._settings.pam, outward)
        return Lodger(become, errand, start_of)
