"""How the tables became what they are: Alembic's scripts, run by :func:`afield.service.store.sql.schema.migrate`.

A new version: change ``sql/tables.py``, add ``versions/v<number>_<what>.py`` with the next revision, and append it to
``schema.KNOWN``. Each script stands alone, for the tables will go on changing. Migrations that remove something come
one release after the code that no longer needs it, so that replicas can be replaced one by one.
"""
