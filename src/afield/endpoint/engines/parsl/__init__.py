"""Engines on Parsl: workers on this machine or in a batch scheduler's jobs. Nothing else of Afield imports Parsl.

::

    submit(job) -> loads, bundles (PURE: who travels with whom) -> executor (Parsl's HTEX) -> afield.worker.bundle
                            ^                                                                    |
                            +-- crew (who has introduced themselves) <--- doorkeeper <-----------+
                                                                        (control channel)

``engine`` performs, ``htex`` makes Parsl's objects from an owner's keys, ``containers`` wraps the command that starts
workers, ``report`` says how it goes.
"""
