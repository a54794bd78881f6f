"""How long the tasks of a group are kept, and wait, where the group says so itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is new: groups that were there say nothing, so the service's own times hold for them.

    A service of the version before may write on while this runs, and after it.
    """
    for name in ("retention_s", "waiting_s"):
        op.add_column("task_groups", sa.Column(name, sa.Double(), nullable=True))
    op.create_index(
        "task_groups_with_times",
        "task_groups",
        ["id"],
        unique=False,
        sqlite_where=sa.text("retention_s IS NOT NULL OR waiting_s IS NOT NULL"),
        postgresql_where=sa.text("retention_s IS NOT NULL OR waiting_s IS NOT NULL"),
    )


def downgrade() -> None:
    """Forget it."""
    op.drop_index("task_groups_with_times", table_name="task_groups")
    for name in ("waiting_s", "retention_s"):
        op.drop_column("task_groups", name)
