"""What operators may ask a running service."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from afield.service.clock import Clock, SystemClock
from afield.service.domain.proxies import Proxies
from afield.service.operate.health import Readiness
from afield.service.operate.meter import Meter

if TYPE_CHECKING:
    from afield.service.operate.metrics import Metrics

__all__ = ["MetricsFor", "Operate"]

#: Who may read the numbers: those who administrate the service, with a token; or also whoever asks from this machine;
#: or nobody.
MetricsFor = Literal["admin", "loopback", "nobody"]


class Operate:
    """Health, readiness and numbers of one service.

    :param readiness: tries the service's parts
    :param meter: what is counted as it happens
    :param metrics: makes what answers with the numbers, when they are first asked for; None: there are none
    :param metrics_for: who may read them
    :param proxies: addresses and networks of those whose word is taken for where a request came from
    """

    def __init__(
        self,
        readiness: Readiness | None = None,
        meter: Meter | None = None,
        *,
        metrics: Callable[[], Metrics] | None = None,
        metrics_for: MetricsFor = "admin",
        proxies: tuple[str, ...] = (),
        clock: Clock | None = None,
    ) -> None:
        self.readiness = readiness or Readiness()
        self.meter = meter or Meter(clock or SystemClock())
        self.metrics_for: MetricsFor = metrics_for if metrics is not None else "nobody"
        self.proxies = Proxies(proxies)
        self._make_metrics = metrics
        self._metrics: Metrics | None = None

    async def metrics(self) -> bytes:
        """The numbers of this moment, in Prometheus' text format.

        :raises ModuleNotFoundError: prometheus_client is not installed
        """
        if self._metrics is None:
            assert self._make_metrics is not None
            self._metrics = self._make_metrics()
        return await self._metrics.text(await self.readiness.look())
