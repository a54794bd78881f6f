"""Alembic runs this: migrate on the connection that we were given, in its transaction."""

from __future__ import annotations

from alembic import context

from afield.service.store.sql import schema, tables


def migrate() -> None:
    """Run the scripts that Alembic chose."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=tables.metadata,
        version_table=schema.VERSION_TABLE,
        render_as_batch=True,  # SQLite alters few things in place
        transactional_ddl=True,  # we said BEGIN ourselves, so SQLite too takes back what failed
    )
    with context.begin_transaction():
        context.run_migrations()


# The name under which Alembic loads this file. Imported by its real name it does nothing.
if __name__ == "env_py":
    migrate()
