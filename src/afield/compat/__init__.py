"""Scripts for the published SDK, run as they are: Afield answers imports of ``globus_compute_sdk`` and ``funcx``.

For a script, ``python -m afield.compat script.py arguments…``. For a program that decides itself, before its imports::

    import afield.compat

    afield.compat.install()

While the real package is installed nothing is answered, and both say so. The same table lets a worker read objects that
were pickled under a published name, such as ``globus_compute_sdk.sdk.shell_function.ShellFunction``.
"""

from __future__ import annotations

from afield.compat.finder import install

__all__ = ["install"]
