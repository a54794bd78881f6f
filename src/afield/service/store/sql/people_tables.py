"""The tables of people: who they are, how they come in, with whom they share.

Names are looked up by their *handle*, the name in lower case as Python has it: databases disagree about letters beyond
ASCII. Whatever is looked up has an index; what the same principal has is found by one, for each request asks for it.
"""

from __future__ import annotations

from sqlalchemy import Index, Table

from afield.service.store.sql.columns import a_flag, a_key, a_text, a_time, json, metadata, some_bytes

__all__ = [
    "accounts",
    "clients",
    "consents",
    "grants",
    "identities",
    "links",
    "members",
    "policies",
    "signing_keys",
    "teams",
    "tickets",
    "tokens",
]

# -- who -------------------------------------------------------------------------------------------------------------

identities = Table(
    "identities",
    metadata,
    a_key("id", primary=True),
    a_text("username"),
    a_text("name"),
    a_text("email"),
    a_time("created_at"),
    a_text("provider", null=True),
    a_text("organization", null=True),
    a_key("person_id", null=True),
    a_text("handle", null=True),
    Index("identities_by_handle", "handle"),
    Index("identities_of_person", "person_id"),
)

accounts = Table(
    "accounts",
    metadata,
    a_key("identity_id", primary=True),
    a_text("username"),
    a_time("created_at"),
    a_text("password", null=True),
    a_time("disabled_at", null=True),
    a_flag("is_admin"),
    a_text("handle"),
    Index("accounts_by_handle", "handle", unique=True),
)

links = Table(
    "links",
    metadata,
    a_text("issuer", primary=True),
    a_text("subject", primary=True),
    a_key("identity_id"),
    a_time("created_at"),
    Index("links_of_identity", "identity_id"),
    sqlite_with_rowid=False,
)

# -- how they come in ------------------------------------------------------------------------------------------------

clients = Table(
    "clients",
    metadata,
    a_key("id", primary=True),
    a_text("name"),
    a_key("owner_id", null=True),
    a_time("created_at"),
    some_bytes("secret_digest", null=True),
    json("redirect_uris"),
    a_time("disabled_at", null=True),
    Index("clients_of_owner", "owner_id"),
)

tokens = Table(
    "tokens",
    metadata,
    a_key("digest", primary=True),
    a_key("identity_id"),
    a_text("label"),
    a_time("created_at"),
    a_time("expires_at", null=True),
    a_text("kind", null=True),
    a_key("client_id", null=True),
    json("scopes", null=True),
    a_text("family", null=True),
    json("session", null=True),
    Index("tokens_of_identity", "identity_id"),
    Index("tokens_of_client", "client_id"),
    Index("tokens_of_family", "family"),
    Index("tokens_by_expiry", "expires_at"),
)

tickets = Table(
    "tickets",
    metadata,
    a_key("digest", primary=True),
    a_text("kind"),
    json("content"),
    a_time("expires_at"),
    Index("tickets_by_expiry", "expires_at"),
)

consents = Table(
    "consents",
    metadata,
    a_key("identity_id", primary=True),
    a_key("client_id", primary=True),
    json("scopes"),
    a_time("created_at"),
    Index("consents_of_client", "client_id"),
    sqlite_with_rowid=False,
)

signing_keys = Table(
    "signing_keys",
    metadata,
    a_key("id", primary=True),
    a_time("created_at"),
    json("public"),
    some_bytes("private"),
    a_time("retired_at", null=True),
)

# -- with whom they share --------------------------------------------------------------------------------------------

teams = Table(
    "teams",
    metadata,
    a_key("id", primary=True),
    a_text("name"),
    a_time("created_at"),
    a_text("description"),
)

members = Table(
    "members",
    metadata,
    a_key("team_id", primary=True),
    a_key("identity_id", primary=True),
    a_text("role"),
    a_time("created_at"),
    Index("members_by_identity", "identity_id"),
    sqlite_with_rowid=False,
)

grants = Table(
    "grants",
    metadata,
    a_key("object_id", primary=True),
    a_text("principal", primary=True),
    a_key("principal_id", primary=True),
    a_text("role"),
    a_time("created_at"),
    Index("grants_to_principal", "principal_id", "principal"),
    sqlite_with_rowid=False,
)

policies = Table(
    "policies",
    metadata,
    a_key("id", primary=True),
    a_key("owner_id"),
    a_text("name"),
    a_time("created_at"),
    a_text("description"),
    a_flag("high_assurance"),
    a_time("session_s", null=True),
    a_flag("mfa_required"),
    json("include_domains", null=True),
    json("exclude_domains"),
    Index("policies_of_owner", "owner_id"),
)
