"""Submits without a key that are not known to have been answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is new.

    A service of the version before may write on while this runs, and after it: its own submits are not recognised
    anywhere else, as before.
    """
    op.create_table(
        "unanswered",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("life", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sqlite_with_rowid=False,
    )
    op.create_index("unanswered_by_body", "unanswered", ["body"], unique=False)


def downgrade() -> None:
    """Forget it."""
    op.drop_index("unanswered_by_body", table_name="unanswered")
    op.drop_table("unanswered")
