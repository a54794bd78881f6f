"""Scripts for the published SDK, run as they are: Afield answers imports of ``globus_compute_sdk`` and ``funcx``.

For a script, ``python -m afield.compat script.py arguments…``. For a program that decides itself, before its imports::

    import afield.compat

    afield.compat.install()

While the real package is installed nothing is answered, and both say so. Workers answer likewise for tasks
(``afield.worker.published``), after all else that could.
"""

from __future__ import annotations

from afield.compat.finder import install

__all__ = ["install"]
