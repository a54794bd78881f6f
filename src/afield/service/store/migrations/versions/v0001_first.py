"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make everything."""
    _people()
    _functions()
    _endpoints()
    _tasks()
    _ends()


def downgrade() -> None:
    """There is no way back to nothing."""
    raise NotImplementedError("the first version of the tables cannot be taken back: remove the database instead")


def _people() -> None:
    op.create_table(
        "identities",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "tokens",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("identity_id", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("digest"),
    )


def _functions() -> None:
    op.create_table(
        "functions",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("owner_id", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("code", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("metadata", sa.Text(), nullable=True),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("group_id", sa.Text(), nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _endpoints() -> None:
    op.create_table(
        "endpoints",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("owner_id", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=True),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("multi_user", sa.Boolean(), nullable=False),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("high_assurance", sa.Boolean(), nullable=False),
        sa.Column("allowed_functions", sa.Text(), nullable=True),
        sa.Column("admins", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("registered_at", sa.Double(), nullable=False),
        sa.Column("last_report_at", sa.Double(), nullable=False),
        sa.Column("heartbeat_period", sa.Double(), nullable=False),
        sa.Column("locked_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("endpoints_of_owner", "endpoints", ["owner_id"], unique=False)
    op.create_table(
        "user_endpoints",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("endpoint_id", sa.LargeBinary(), nullable=False),
        sa.Column("identity_id", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("user_opts", sa.Text(), nullable=False),
        sa.Column("user_runtime", sa.Text(), nullable=False),
        sa.Column("wire", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("last_report_at", sa.Double(), nullable=False),
        sa.Column("heartbeat_period", sa.Double(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("user_endpoints_of_endpoint", "user_endpoints", ["endpoint_id"], unique=False)


def _tasks() -> None:
    op.create_table(
        "task_groups",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("owner_id", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("wire", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("group_id", sa.LargeBinary(), nullable=False),
        sa.Column("owner_id", sa.LargeBinary(), nullable=False),
        sa.Column("endpoint_id", sa.LargeBinary(), nullable=False),
        sa.Column("user_endpoint_id", sa.LargeBinary(), nullable=False),
        sa.Column("function_id", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("options", sa.Text(), nullable=True),
        sa.Column("payload_file", sa.LargeBinary(), nullable=True),
        sa.Column("payload", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("tasks_of_group", "tasks", ["group_id", "id"], unique=False)
    op.create_index(
        "tasks_with_files",
        "tasks",
        ["payload_file"],
        unique=False,
        sqlite_where=sa.text("payload_file IS NOT NULL"),
        postgresql_where=sa.text("payload_file IS NOT NULL"),
    )
    op.create_table(
        "waiting",
        sa.Column("user_endpoint_id", sa.LargeBinary(), nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("user_endpoint_id", "id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "submits",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("submits_by_time", "submits", ["created_at"], unique=False)


def _ends() -> None:
    op.create_table(
        "ends",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("completed_at", sa.Double(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("details", sa.Text(), nullable=True),
        sa.Column("transitions", sa.Text(), nullable=True),
        sa.Column("data_file", sa.LargeBinary(), nullable=True),
        sa.Column("exception_file", sa.LargeBinary(), nullable=True),
        sa.Column("exception", sa.LargeBinary(), nullable=True),
        sa.Column("data", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ends_by_time", "ends", ["completed_at"], unique=False)
    op.create_index(
        "ends_with_data_file",
        "ends",
        ["data_file"],
        unique=False,
        sqlite_where=sa.text("data_file IS NOT NULL"),
        postgresql_where=sa.text("data_file IS NOT NULL"),
    )
    op.create_index(
        "ends_with_exception_file",
        "ends",
        ["exception_file"],
        unique=False,
        sqlite_where=sa.text("exception_file IS NOT NULL"),
        postgresql_where=sa.text("exception_file IS NOT NULL"),
    )
    op.create_table(
        "undelivered",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
