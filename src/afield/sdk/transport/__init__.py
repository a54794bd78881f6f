"""SEAM: how the SDK reaches a service; see :mod:`afield.sdk.transport.base`."""
