"""Which process has taken a task for good, and where tasks have been."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is new. No row is touched: of tasks that were there nobody knows who had taken them.

    A service of the version before may write on while this runs, and after it.
    """
    op.add_column("waiting", sa.Column("life", sa.Text(), nullable=True))
    op.create_table(
        "steps",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("life", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", "at", "state"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Forget all of it."""
    op.drop_table("steps")
    op.drop_column("waiting", "life")
