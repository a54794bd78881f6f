"""Which tasks are still to be put into queues that survive the service."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is new. A service of the version before writes on without it: it has no such queues."""
    op.create_table(
        "hand_overs",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("user_endpoint_id", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("tasks", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("hand_overs_by_time", "hand_overs", ["created_at"], unique=False)


def downgrade() -> None:
    """Forget it."""
    op.drop_index("hand_overs_by_time", table_name="hand_overs")
    op.drop_table("hand_overs")
