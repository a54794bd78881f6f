"""How one must have logged in to use an endpoint, functions bound to one, and results that are not streamed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None

_NEW = (
    ("functions", "ha_endpoint_id", sa.Text),
    ("endpoints", "authentication_policy", sa.Text),
    ("endpoints", "subscription_uuid", sa.Text),
    ("task_groups", "high_assurance", sa.Boolean),
)


def upgrade() -> None:
    """Add what is new: what was there is protected by nothing.

    A service of the version before may write on while this runs, and after it.
    """
    for table, column, kind in _NEW:
        op.add_column(table, sa.Column(column, kind(), nullable=True))


def downgrade() -> None:
    """Forget it."""
    for table, column, _ in reversed(_NEW):
        op.drop_column(table, column)
