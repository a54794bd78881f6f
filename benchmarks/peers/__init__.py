"""One file per system. Each has ``TITLE``, ``REQUIRES`` (what to install for it; empty: this interpreter has it),
an adapter, and a call of :func:`benchmarks.protocol.main`. What a system needs is imported when it starts, so that the
list can be read without it.
"""
