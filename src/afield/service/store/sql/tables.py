"""The tables.

Four rules give them their shape:

1. Keys are the 16 bytes of a UUID. New ones are time-ordered, so a table grows at its end; random keys cost three times
   as much.
2. A task's row is written once and never again: rewriting a row means rewriting its payload. What changes are two thin
   tables: a task is in ``waiting``, which says where it is, from its acceptance to its end, and in ``undelivered`` from
   its end until somebody took the result. So the first end wins: it is the one that takes the task out of ``waiting``.
3. Payloads come last in a row, so that reading what stands before them does not touch their pages. Big ones are files;
   the row has the file's name (:mod:`afield.service.store.blobs`).
4. What is only read back whole is JSON text, which the tools of every database can show.

A change here needs a migration beside it; a test compares both.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Index, Table, or_

from afield.service.store.sql.columns import a_count as _count
from afield.service.store.sql.columns import a_flag as _flag
from afield.service.store.sql.columns import a_key as _key
from afield.service.store.sql.columns import a_text as _text
from afield.service.store.sql.columns import a_time as _time
from afield.service.store.sql.columns import json as _json
from afield.service.store.sql.columns import metadata
from afield.service.store.sql.columns import some_bytes as _bytes
from afield.service.store.sql.people_tables import (
    accounts,
    clients,
    consents,
    grants,
    identities,
    links,
    members,
    policies,
    signing_keys,
    teams,
    tickets,
    tokens,
)

__all__ = [
    "accounts",
    "cancels",
    "clients",
    "consents",
    "departures",
    "endpoints",
    "ends",
    "functions",
    "grants",
    "hand_overs",
    "identities",
    "labels",
    "links",
    "members",
    "metadata",
    "policies",
    "signing_keys",
    "steps",
    "submits",
    "task_groups",
    "tasks",
    "teams",
    "tickets",
    "tokens",
    "unanswered",
    "undelivered",
    "user_endpoints",
    "waiting",
]

functions = Table(
    "functions",
    metadata,
    _key("id", primary=True),
    _key("owner_id"),
    _text("name"),
    _bytes("code"),
    _time("created_at"),
    _text("description", null=True),
    _json("metadata", null=True),
    _flag("public"),
    _text("group_id", null=True),
    _flag("deleted"),
    _text("ha_endpoint_id", null=True),
    Index("functions_of_owner", "owner_id", "id"),
)

endpoints = Table(
    "endpoints",
    metadata,
    _key("id", primary=True),
    _key("owner_id"),
    _text("name"),
    _time("created_at"),
    _text("display_name", null=True),
    _json("metadata"),
    _flag("multi_user"),
    _flag("public"),
    _flag("high_assurance"),
    _json("allowed_functions", null=True),
    _json("admins"),
    _count("generation"),
    _time("registered_at"),
    _time("last_report_at"),
    _time("heartbeat_period"),
    _time("locked_until"),
    _text("authentication_policy", null=True),
    _text("subscription_uuid", null=True),
    Index("endpoints_of_owner", "owner_id"),
)

user_endpoints = Table(
    "user_endpoints",
    metadata,
    _key("id", primary=True),
    _key("endpoint_id"),
    _key("identity_id"),
    _time("created_at"),
    _json("user_opts"),
    _json("user_runtime"),
    _count("wire"),
    _count("generation"),
    _time("last_report_at"),
    _time("heartbeat_period"),
    _flag("active"),
    _json("state"),
    Index("user_endpoints_of_endpoint", "endpoint_id"),
)

task_groups = Table(
    "task_groups",
    metadata,
    _key("id", primary=True),
    _key("owner_id"),
    _time("created_at"),
    _count("wire"),
    Column("high_assurance", Boolean, nullable=True),
    Column("retention_s", Double, nullable=True),
    Column("waiting_s", Double, nullable=True),
)
_own_times = or_(task_groups.c.retention_s.is_not(None), task_groups.c.waiting_s.is_not(None))
Index("task_groups_with_times", task_groups.c.id, sqlite_where=_own_times, postgresql_where=_own_times)

#: tasks as they were accepted
tasks = Table(
    "tasks",
    metadata,
    _key("id", primary=True),
    _key("group_id"),
    _key("owner_id"),
    _key("endpoint_id"),
    _key("user_endpoint_id"),
    _key("function_id"),
    _text("state"),
    _time("created_at"),
    _json("options", null=True),
    _key("payload_file", null=True),
    _bytes("payload", null=True),
)
Index("tasks_of_group", tasks.c.group_id, tasks.c.id)
Index("tasks_of_owner", tasks.c.owner_id, tasks.c.id)
Index(
    "tasks_with_files",
    tasks.c.payload_file,
    sqlite_where=tasks.c.payload_file.is_not(None),
    postgresql_where=tasks.c.payload_file.is_not(None),
)

#: tasks that have not ended, and where they are: while ``state`` is NULL, as they were accepted; ``life``: which
#: process has taken them from their queue for good
waiting = Table(
    "waiting",
    metadata,
    _key("user_endpoint_id", primary=True),
    _key("id", primary=True),
    _time("created_at"),
    _text("state", null=True),
    _time("state_at", null=True),
    _text("life", null=True),
    sqlite_with_rowid=False,
)

#: where tasks have been since they were accepted, and who said so; most tasks end before there is anything to say
steps = Table(
    "steps",
    metadata,
    _key("id", primary=True),
    Column("at", Double, primary_key=True),
    _text("state", primary=True),
    _text("actor"),
    _count("attempt"),
    _text("life", null=True),
    sqlite_with_rowid=False,
)

#: What people call tasks; most tasks have no name and no row. It is in their options too, but there nobody can search.
labels = Table("labels", metadata, _key("id", primary=True), _text("label"), sqlite_with_rowid=False)

#: tasks that somebody wants ended
cancels = Table(
    "cancels",
    metadata,
    _key("task_id", primary=True),
    _key("user_endpoint_id"),
    _time("asked_at"),
    _flag("running"),
    Index("cancels_of_user_endpoint", "user_endpoint_id"),
    sqlite_with_rowid=False,
)

#: how tasks ended
ends = Table(
    "ends",
    metadata,
    _key("id", primary=True),
    _text("state"),
    _time("completed_at"),
    _json("error", null=True),
    _json("details", null=True),
    _json("transitions", null=True),
    _key("data_file", null=True),
    _key("exception_file", null=True),
    _bytes("exception", null=True),
    _bytes("data", null=True),
    Index("ends_by_time", "completed_at"),
)
for _column in (ends.c.data_file, ends.c.exception_file):
    Index(
        f"ends_with_{_column.name}",
        _column,
        sqlite_where=_column.is_not(None),
        postgresql_where=_column.is_not(None),
    )

#: tasks that have ended and whose result nobody has taken from its group's queue
undelivered = Table("undelivered", metadata, _key("id", primary=True), sqlite_with_rowid=False)

#: tasks that are not known to be in a queue that survives the service
hand_overs = Table(
    "hand_overs",
    metadata,
    _key("id", primary=True),
    _key("user_endpoint_id"),
    _time("created_at"),
    _bytes("tasks"),
    Index("hand_overs_by_time", "created_at"),
)

#: endpoints that were deleted, until nothing of them is left elsewhere
departures = Table(
    "departures",
    metadata,
    _key("id", primary=True),
    _text("name"),
    _text("user_endpoint_ids"),
    _time("deleted_at"),
)

#: Submits without a key that are not known to have been answered: whose waits for an answer in which life. Every such
#: submit writes a row and removes it, so it is thin, and the table short.
unanswered = Table(
    "unanswered",
    metadata,
    _key("key", primary=True),
    _key("body"),
    _text("life"),
    _time("since"),
    Index("unanswered_by_body", "body"),
    sqlite_with_rowid=False,
)

#: answers to submits, for their repetitions
submits = Table(
    "submits",
    metadata,
    _key("key", primary=True),
    _bytes("response"),
    _time("created_at"),
    Index("submits_by_time", "created_at"),
)
