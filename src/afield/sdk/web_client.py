"""What a login manager of the older generation hands out (published name)."""

from __future__ import annotations

from typing import Any

__all__ = ["WebClient"]


class WebClient:
    """Carries an authorizer from a login manager to the ``Client`` that asks for it; it sends nothing itself.

    :param environment: published, without effect
    :param base_url: of the service that the authorizer is for
    :param authorizer: has ``get_authorization_header()``
    :param options: published (``app_name``, ``transport_params``), without effect
    """

    def __init__(
        self, *, environment: str | None = None, base_url: str | None = None, authorizer: Any = None, **options: Any
    ) -> None:
        del environment, options
        self.base_url, self.authorizer = base_url, authorizer
