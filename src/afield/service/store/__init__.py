"""SEAM: the one durable place. ``base`` holds the promises; ``sql`` keeps them on SQLite and PostgreSQL, ``memory`` for
tests.
"""
