"""Where tasks are, what they are called, who wants them ended; and lists of what somebody has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is new. No row is touched: tasks that were there are as they were accepted, and have no label."""
    op.add_column("waiting", sa.Column("state", sa.Text(), nullable=True))
    op.add_column("waiting", sa.Column("state_at", sa.Double(), nullable=True))
    op.create_table(
        "labels",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "cancels",
        sa.Column("task_id", sa.LargeBinary(), nullable=False),
        sa.Column("user_endpoint_id", sa.LargeBinary(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("running", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("task_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("cancels_of_user_endpoint", "cancels", ["user_endpoint_id"], unique=False)
    op.create_index("tasks_of_owner", "tasks", ["owner_id", "id"], unique=False)
    op.create_index("functions_of_owner", "functions", ["owner_id", "id"], unique=False)


def downgrade() -> None:
    """Forget all of it."""
    op.drop_index("functions_of_owner", table_name="functions")
    op.drop_index("tasks_of_owner", table_name="tasks")
    op.drop_table("cancels")
    op.drop_table("labels")
    op.drop_column("waiting", "state_at")
    op.drop_column("waiting", "state")
