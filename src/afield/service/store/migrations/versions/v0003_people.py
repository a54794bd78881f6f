"""People: accounts, outside identities, clients, groups, grants, policies; and what tokens are good for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_INDEXES = (
    ("identities_by_handle", "identities", ["handle"]),
    ("identities_of_person", "identities", ["person_id"]),
    ("links_of_identity", "links", ["identity_id"]),
    ("clients_of_owner", "clients", ["owner_id"]),
    ("tokens_of_identity", "tokens", ["identity_id"]),
    ("tokens_of_client", "tokens", ["client_id"]),
    ("tokens_of_family", "tokens", ["family"]),
    ("tokens_by_expiry", "tokens", ["expires_at"]),
    ("tickets_by_expiry", "tickets", ["expires_at"]),
    ("consents_of_client", "consents", ["client_id"]),
    ("members_by_identity", "members", ["identity_id"]),
    ("grants_to_principal", "grants", ["principal_id", "principal"]),
    ("policies_of_owner", "policies", ["owner_id"]),
)


def upgrade() -> None:
    """Add what is new. Identities that were there are of this service, and tokens were made by it.

    A service of the version before may write on while this runs, and after it: what it does not know of stays NULL,
    which is read as the same.
    """
    for name, kind in (
        ("provider", sa.Text()),
        ("organization", sa.Text()),
        ("person_id", sa.LargeBinary()),
        ("handle", sa.Text()),
    ):
        op.add_column("identities", sa.Column(name, kind, nullable=True))
    for name, kind in (
        ("kind", sa.Text()),
        ("client_id", sa.LargeBinary()),
        ("scopes", sa.Text()),
        ("family", sa.Text()),
        ("session", sa.Text()),
    ):
        op.add_column("tokens", sa.Column(name, kind, nullable=True))
    op.execute("UPDATE identities SET provider = 'local'")
    op.execute("UPDATE tokens SET kind = 'service'")
    _name_handles()
    _who()
    _how_they_come_in()
    _with_whom_they_share()
    op.create_index("accounts_by_handle", "accounts", ["handle"], unique=True)
    for name, table, columns in _INDEXES:
        op.create_index(name, table, columns, unique=False)


def _name_handles() -> None:
    """In lower case as Python has it: databases disagree about letters beyond ASCII."""
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id, username FROM identities")).all()
    named = [{"one": one, "handle": username.lower()} for one, username in rows]
    if named:
        connection.execute(sa.text("UPDATE identities SET handle = :handle WHERE id = :one"), named)


def _who() -> None:
    op.create_table(
        "accounts",
        sa.Column("identity_id", sa.LargeBinary(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("disabled_at", sa.Double(), nullable=True),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("handle", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("identity_id"),
    )
    op.create_table(
        "links",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("identity_id", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "subject"),
        sqlite_with_rowid=False,
    )


def _how_they_come_in() -> None:
    op.create_table(
        "clients",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("secret_digest", sa.LargeBinary(), nullable=True),
        sa.Column("redirect_uris", sa.Text(), nullable=False),
        sa.Column("disabled_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "tickets",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "consents",
        sa.Column("identity_id", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("identity_id", "client_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("public", sa.Text(), nullable=False),
        sa.Column("private", sa.LargeBinary(), nullable=False),
        sa.Column("retired_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )


def _with_whom_they_share() -> None:
    op.create_table(
        "teams",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "members",
        sa.Column("team_id", sa.LargeBinary(), nullable=False),
        sa.Column("identity_id", sa.LargeBinary(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("team_id", "identity_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "grants",
        sa.Column("object_id", sa.LargeBinary(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("principal_id", sa.LargeBinary(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("object_id", "principal", "principal_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "policies",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("owner_id", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("high_assurance", sa.Boolean(), nullable=False),
        sa.Column("session_s", sa.Double(), nullable=True),
        sa.Column("mfa_required", sa.Boolean(), nullable=False),
        sa.Column("include_domains", sa.Text(), nullable=True),
        sa.Column("exclude_domains", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def downgrade() -> None:
    """Forget all of it."""
    for name, table, _ in _INDEXES:
        op.drop_index(name, table_name=table)
    op.drop_index("accounts_by_handle", table_name="accounts")
    for name in ("policies", "grants", "members", "teams", "signing_keys", "consents", "tickets", "clients", "links"):
        op.drop_table(name)
    op.drop_table("accounts")
    for name in ("session", "family", "scopes", "client_id", "kind"):
        op.drop_column("tokens", name)
    for name in ("handle", "person_id", "organization", "provider"):
        op.drop_column("identities", name)
