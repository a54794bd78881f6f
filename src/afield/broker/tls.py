"""Whom to believe when somebody shows a certificate.

The system's roots, or those that ``SSL_CERT_FILE`` names in their place; and, beside them, those in the file that
``AFIELD_CA_FILE`` names: the root of an institution that signs its own certificates.
"""

from __future__ import annotations

import os
import ssl

from afield.errors import ConfigurationError

__all__ = ["CA_FILE", "own_context"]

#: The environment variable with the name of a file of certificates in PEM form.
CA_FILE = "AFIELD_CA_FILE"


def own_context() -> ssl.SSLContext | None:
    """For a client that verifies the other side; None: with the system's roots, as every library does by itself.

    :raises ConfigurationError: the file cannot be read, or holds no certificate
    """
    name = os.environ.get(CA_FILE)
    if not name:
        return None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=name)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"{CA_FILE} is {name}, which cannot be read as certificates ({error}): name a file in PEM form, or unset it"
        ) from error
    return context
