"""People: accounts, outside identities, clients, groups, grants, policies; and what tokens are good for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is new. Identities that were there are of this service, and tokens were made by it."""
    op.add_column("identities", sa.Column("provider", sa.Text(), nullable=True))
    op.add_column("identities", sa.Column("organization", sa.Text(), nullable=True))
    op.add_column("identities", sa.Column("person_id", sa.LargeBinary(), nullable=True))
    op.execute("UPDATE identities SET provider = 'local'")
    op.add_column("tokens", sa.Column("kind", sa.Text(), nullable=True))
    op.add_column("tokens", sa.Column("client_id", sa.Text(), nullable=True))
    op.add_column("tokens", sa.Column("scopes", sa.Text(), nullable=True))
    op.add_column("tokens", sa.Column("family", sa.Text(), nullable=True))
    op.add_column("tokens", sa.Column("session", sa.Text(), nullable=True))
    op.execute("UPDATE tokens SET kind = 'service'")


def downgrade() -> None:
    """Forget all of it."""
    for name in ("session", "family", "scopes", "client_id", "kind"):
        op.drop_column("tokens", name)
    for name in ("person_id", "organization", "provider"):
        op.drop_column("identities", name)
