"""Engines on Parsl: workers on this machine or in a batch scheduler's jobs. Nothing else of Afield imports Parsl.

::

    submit(job) -> loads, bundles (PURE: who travels with whom) -> executor (Parsl's HTEX) -> afield.worker.bundle
                            ^                                                                    |
                            +-- crew (who has introduced themselves) <--- doorkeeper <-----------+
                                                                        (control channel)

``mpi`` is the engine whose tasks get whole nodes, with ``ranks`` (PURE: what a task asks for) and ``mpi_executor``.

``engine`` performs, ``htex`` makes Parsl's objects from an owner's keys, ``containers`` wraps the command that starts
workers, ``report`` says how it goes.
"""
