"""What a manager says to the service: of itself, and of user endpoints that cannot speak."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from afield.broker.base import Connection, Connector
from afield.endpoint.host.credentials import publication, with_port
from afield.endpoint.host.registration import Registered
from afield.endpoint.manager import commands as do
from afield.endpoint.settings import ManagerSettings
from afield.errors import BrokerError, BrokerUnreachable
from afield.wire import v1
from afield.wire.commands import QueueCredentials
from afield.wire.messages import STOPPED, Report

__all__ = ["Reports"]

logger = logging.getLogger("afield.endpoint")

#: The heartbeat period in reports for somebody who has none, in seconds (reference: wire contract section 5.5).
_FAILURE_PERIOD: Final = 3
#: How long anything may take to be said, in seconds: a broker that is out of memory answers nothing.
_REPORT_S: Final = 5.0


class Reports:
    """Speaks for one manager. Nobody who waits for a report waits for ever.

    :param connector: reaches the queues of user endpoints
    :param patience_s: how long each report may take, in seconds
    """

    def __init__(
        self, registered: Registered, settings: ManagerSettings, connector: Connector, patience_s: float = _REPORT_S
    ) -> None:
        self._registered, self._settings, self._connector = registered, settings, connector
        self._patience_s = patience_s
        #: the manager's own; None: there is none at the moment
        self.connection: Connection | None = None

    async def heartbeat(self) -> bool:
        """Say that the endpoint is here; whether that was said."""
        try:
            await self._say({"heartbeat_period": self._settings.heartbeat_period})
        except (BrokerError, TimeoutError) as error:
            logger.info("a heartbeat could not be sent: %s", _why(error))
            return False
        return True

    async def goodbye(self) -> None:
        """Say that the endpoint ends, if that can be said soon."""
        try:
            await self._say({"heartbeat_period": 0})
        except (BrokerError, TimeoutError) as error:
            logger.info("the goodbye could not be sent: %s", _why(error))

    async def failure(self, command: do.ReportFailure) -> None:
        """Say why a user endpoint does not run."""
        state = {"error": command.text, "heartbeat_period": _FAILURE_PERIOD}
        if command.stopped:
            state[STOPPED] = True
        await self._say_for(command.credentials, state)

    async def gone(self, command: do.ReportGone) -> None:
        """Say that a user endpoint has ended."""
        state = {"active": False, "heartbeat_period": self._settings.heartbeat_period}
        await self._say_for(command.credentials, state)

    async def _say(self, state: dict[str, Any]) -> None:
        body = v1.encode_report(Report(self._registered.endpoint_id, state))
        if self.connection is None:
            raise BrokerUnreachable("there is no connection to the broker at the moment")
        async with asyncio.timeout(self._patience_s):
            await self.connection.publish(publication(self._registered.queues.heartbeat_queue_info, body))

    async def _say_for(self, credentials: QueueCredentials, state: dict[str, Any]) -> None:
        """Speak for a user endpoint, with its credentials."""
        queue = credentials.heartbeat_queue_info
        body = v1.encode_report(Report(credentials.endpoint_id, state))
        try:
            async with asyncio.timeout(self._patience_s):
                connection = await self._connector.connect(with_port(queue.connection_url, self._settings.amqp_port))
                try:
                    await connection.publish(publication(queue, body))
                finally:
                    await connection.close()
        except (BrokerError, TimeoutError) as error:
            logger.warning("the service could not be told about %s: %s", credentials.endpoint_id, _why(error))


def _why(error: BrokerError | TimeoutError) -> str:
    return str(error) or "the broker did not answer in time"
