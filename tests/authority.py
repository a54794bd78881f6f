"""An institution that signs its own certificates, as `openssl` makes them."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Authority", "make_authority"]


@dataclass(frozen=True)
class Authority:
    """Its root, and what a server at ``localhost`` has from it."""

    root: Path
    certificate: Path
    key: Path

    def for_server(self) -> ssl.SSLContext:
        """What such a server shows."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        return context


def make_authority(place: Path) -> Authority:
    """One whose certificates are good for two days.

    :param place: an empty directory
    """
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", "req", "-x509", *ec, *arguments], check=True, capture_output=True, cwd=place)

    openssl("-subj", "/CN=Own root", "-keyout", "root.key", "-out", "root.pem",
            "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    openssl("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE",
            "-CA", "root.pem", "-CAkey", "root.key", "-keyout", "key.pem", "-out", "cert.pem")  # fmt: skip
    return Authority(place / "root.pem", place / "cert.pem", place / "key.pem")
