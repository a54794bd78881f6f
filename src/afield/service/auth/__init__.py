"""SEAM: who is asking; see :mod:`afield.service.auth.base`."""
