"""The store in SQL: one set of queries, run by :mod:`.sqlite` or :mod:`.postgres`."""
