"""Which proxy stands before an address, by what the environment says (``http_proxy``, ``no_proxy``)."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["proxy_for"]


def proxy_for(url: str) -> str | None:
    """The proxy for this address; None: there is none. This machine itself is never behind one."""
    import urllib.request  # 15 ms, which a program that only imports us need not spend

    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in {"localhost", "::1"} or host.startswith("127.") or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(parts.scheme)
