"""What a store promises about groups, grants and policies, and about names that it cannot keep."""

from __future__ import annotations

from typing import Any

import msgspec

from afield.ids import new_id, new_ids
from afield.service.domain.people import (
    AccountRecord,
    ClientRecord,
    ConsentRecord,
    GrantRecord,
    GrantRole,
    IdentityRecord,
    KeyRecord,
    LinkRecord,
    MemberRecord,
    MemberRole,
    PolicyRecord,
    Principal,
    Session,
    TeamRecord,
    TicketRecord,
    TokenRecord,
)
from afield.service.domain.records import EndpointRecord
from afield.service.store.base import NotText, Store
from afield.testing.store.records import NOW, raises

__all__ = [
    "a_group_goes_with_its_members_and_grants",
    "grants_are_found_from_both_ends",
    "members_are_listed_from_both_ends",
    "names_of_people_that_cannot_be_kept_are_refused",
    "names_too_long_to_look_up_are_refused",
    "nobody_is_found_by_what_is_no_text",
    "people_may_have_ids_of_any_form",
    "policies_are_kept_whole",
    "teams_are_kept_and_replaced",
]


async def teams_are_kept_and_replaced(store: Store) -> None:
    """One id, one group: the last."""
    lab, class_ = TeamRecord(new_id(), "Lab ✓", NOW, "All of us"), TeamRecord(new_id(), "Class", NOW)
    assert await store.people.team(lab.id) is None
    for team in (lab, class_):
        await store.people.put_team(team)
    assert await store.people.team(lab.id) == lab
    assert await store.people.teams([class_.id, new_id(), lab.id]) == {lab.id: lab, class_.id: class_}
    assert await store.people.teams([]) == {}
    renamed = msgspec.structs.replace(lab, name="Laboratory")
    await store.people.put_team(renamed)
    assert await store.people.team(lab.id) == renamed
    assert await store.people.change_team(lab) is True
    assert await store.people.team(lab.id) == lab
    await store.people.delete_team(lab.id)
    assert await store.people.change_team(renamed) is False
    assert await store.people.team(lab.id) is None


async def members_are_listed_from_both_ends(store: Store) -> None:
    """Once each, with their last role; nobody is in a group that is not there."""
    lab, class_, ada, bob = new_ids(4)
    assert await store.people.put_member(MemberRecord(lab, ada, MemberRole.MANAGER, NOW)) is False
    assert await store.people.members(lab) == []
    for team_id in (lab, class_):
        await store.people.put_team(TeamRecord(team_id, "Team", NOW))
    first = MemberRecord(lab, ada, MemberRole.MANAGER, NOW - 5)
    second = MemberRecord(lab, bob, MemberRole.MEMBER, NOW)
    elsewhere = MemberRecord(class_, bob, MemberRole.MANAGER, NOW - 9)
    for member in (second, first, elsewhere):
        assert await store.people.put_member(member) is True
    found = await store.people.members(lab)
    assert found == [first, second]
    assert isinstance(found[0].role, MemberRole)
    assert await store.people.memberships([bob]) == [elsewhere, second]
    assert await store.people.memberships([ada, new_id(), bob, ada]) == [elsewhere, first, second]
    assert await store.people.memberships([]) == []
    promoted = msgspec.structs.replace(second, role=MemberRole.MANAGER)
    await store.people.put_member(promoted)
    assert await store.people.members(lab) == [first, promoted]
    assert await store.people.delete_member(lab, ada) is True
    assert await store.people.delete_member(lab, ada) is False
    assert await store.people.members(lab) == [promoted]


async def grants_are_found_from_both_ends(store: Store) -> None:
    """A person and a group with the same id are not the same; one principal has one role on an object."""
    cluster, laptop, ada, lab = new_ids(4)
    to_ada = GrantRecord(cluster, Principal.IDENTITY, ada, GrantRole.RUN, NOW - 5)
    to_lab = GrantRecord(cluster, Principal.TEAM, lab, GrantRole.VIEW, NOW)
    to_a_group_with_adas_id = GrantRecord(laptop, Principal.TEAM, ada, GrantRole.MANAGE, NOW + 1)
    for grant in (to_a_group_with_adas_id, to_lab, to_ada):
        await store.people.put_grant(grant)
    found = await store.people.grants_on(cluster)
    assert found == [to_ada, to_lab]
    assert (type(found[0].principal), type(found[0].role)) == (Principal, GrantRole)
    assert await store.people.grants_to([(Principal.IDENTITY, ada)]) == [to_ada]
    both = [(Principal.TEAM, lab), (Principal.IDENTITY, ada), (Principal.TEAM, lab), (Principal.TEAM, new_id())]
    assert await store.people.grants_to(both) == [to_ada, to_lab]
    assert await store.people.grants_to([]) == []
    changed = msgspec.structs.replace(to_ada, role=GrantRole.MANAGE)
    await store.people.put_grant(changed)
    assert await store.people.grants_on(cluster) == [changed, to_lab]
    assert await store.people.delete_grant(cluster, Principal.TEAM, ada) is False
    assert await store.people.delete_grant(cluster, Principal.IDENTITY, ada) is True
    assert await store.people.delete_grant(cluster, Principal.IDENTITY, ada) is False
    assert await store.people.grants_on(cluster) == [to_lab]


async def a_group_goes_with_its_members_and_grants(store: Store) -> None:
    """Nobody else's."""
    lab, other = TeamRecord(new_id(), "Lab", NOW), TeamRecord(new_id(), "Other", NOW)
    ada, cluster = new_ids(2)
    for team in (lab, other):
        await store.people.put_team(team)
        await store.people.put_member(MemberRecord(team.id, ada, MemberRole.MEMBER, NOW))
        await store.people.put_grant(GrantRecord(cluster, Principal.TEAM, team.id, GrantRole.RUN, NOW))
    a_person_with_its_id = GrantRecord(cluster, Principal.IDENTITY, lab.id, GrantRole.VIEW, NOW - 1)
    await store.people.put_grant(a_person_with_its_id)
    assert await store.people.delete_team(new_id()) is False
    assert await store.people.delete_team(lab.id) is True
    assert await store.people.delete_team(lab.id) is False
    assert await store.people.team(lab.id) is None
    assert await store.people.members(lab.id) == []
    assert [member.team_id for member in await store.people.memberships([ada])] == [other.id]
    assert [grant.principal_id for grant in await store.people.grants_on(cluster)] == [lab.id, other.id]
    assert (await store.people.grants_on(cluster))[0] == a_person_with_its_id


async def policies_are_kept_whole(store: Store) -> None:
    """No domain is not the same as every domain."""
    owner = new_id()
    old = PolicyRecord(
        id=new_id(),
        owner_id=owner,
        name="Staff",
        created_at=NOW - 5,
        description="With two factors",
        high_assurance=True,
        session_s=1800.5,
        mfa_required=True,
        include_domains=("example.org", "*.example.org"),
        exclude_domains=("guests.example.org",),
    )
    young = PolicyRecord(new_id(), owner, "Nobody", NOW, include_domains=())
    plain = PolicyRecord(new_id(), new_id(), "Anybody", NOW)
    for policy in (young, old, plain):
        await store.people.put_policy(policy)
    assert await store.people.policy(old.id) == old
    assert await store.people.policy(plain.id) == plain
    assert await store.people.policies_of(owner) == [old, young]
    await store.people.put_policy(msgspec.structs.replace(old, session_s=None, high_assurance=False))
    assert (await store.people.policies_of(owner))[0].session_s is None
    assert await store.people.change_policy(old) is True
    assert await store.people.policy(old.id) == old
    assert await store.people.delete_policy(old.id) is True
    assert await store.people.change_policy(old) is False
    assert await store.people.delete_policy(old.id) is False
    assert await store.people.policies_of(owner) == [young]


# -- what cannot be kept ---------------------------------------------------------------------------------------------


def _records(bad: str) -> list[tuple[str, list[Any]]]:
    """For each method that keeps something, records with this text in one place each."""
    i = new_id()
    identity = IdentityRecord(i, "ada", "Ada", "ada@example.org", NOW)
    account = AccountRecord(i, "ada", NOW)
    client = ClientRecord(i, "Portal", i, NOW)
    token = TokenRecord(b"\x01" * 32, i, "laptop", NOW)
    ticket = TicketRecord(b"\x02" * 32, "code", {}, NOW)
    team = TeamRecord(i, "Lab", NOW)
    policy = PolicyRecord(i, i, "Staff", NOW)

    def each(record: Any, **fields: Any) -> list[Any]:
        return [msgspec.structs.replace(record, **{name: value}) for name, value in fields.items()]

    return [
        (
            "put_identity",
            each(identity, id=bad, username=bad, name=bad, email=bad, provider=bad, organization=bad, person_id=bad),
        ),
        ("put_account", each(account, identity_id=bad, username=bad, password=bad)),
        ("put_link", each(LinkRecord("https://idp", "ada", i, NOW), issuer=bad, subject=bad, identity_id=bad)),
        ("put_client", each(client, id=bad, name=bad, owner_id=bad, redirect_uris=("https://a", bad))),
        (
            "put_token",
            each(
                token,
                identity_id=bad,
                label=bad,
                client_id=bad,
                family=bad,
                scopes=("a", bad),
                session=Session({bad: NOW}),
            ),
        ),
        ("put_token", each(token, session=Session({}, (i, bad)))),
        ("put_ticket", each(ticket, kind=bad, content={"a": {"b": [1, bad]}})),
        ("put_ticket", each(ticket, content={bad: 1})),
        (
            "put_consent",
            each(ConsentRecord(i, i, (), NOW), identity_id=bad, client_id=bad, scopes=("a", bad)),
        ),
        ("put_key", each(KeyRecord(i, NOW, "{}", b""), id=bad, public=bad)),
        ("put_team", each(team, id=bad, name=bad, description=bad)),
        ("put_member", each(MemberRecord(i, i, MemberRole.MEMBER, NOW), team_id=bad, identity_id=bad)),
        (
            "put_grant",
            each(GrantRecord(i, Principal.TEAM, i, GrantRole.RUN, NOW), object_id=bad, principal_id=bad),
        ),
        (
            "put_policy",
            each(
                policy,
                id=bad,
                owner_id=bad,
                name=bad,
                description=bad,
                include_domains=("a", bad),
                exclude_domains=(bad,),
            ),
        ),
    ]


async def names_of_people_that_cannot_be_kept_are_refused(store: Store) -> None:
    """In every field of every record, with a sentence; and of endpoints."""
    for bad in ("a\0b", "\ud800"):
        for method, records in _records(bad):
            for record in records:
                with raises(NotText) as refused:
                    await getattr(store.people, method)(record)
                assert "leave it out" in str(refused.error), record
        endpoint = EndpointRecord(new_id(), new_id(), "laptop", NOW)
        for changed in (
            msgspec.structs.replace(endpoint, name=bad),
            msgspec.structs.replace(endpoint, display_name=bad),
        ):
            with raises(NotText):
                await store.put_endpoint(changed)
    assert await store.people.accounts() == []
    assert await store.people.keys() == []
    assert await store.endpoints() == []


async def names_too_long_to_look_up_are_refused(store: Store) -> None:
    """Before a database does it, which would be a mistake of ours. What nobody looks up may be long."""
    # Databases compress what repeats, so this does not.
    long = "".join(new_ids(30))
    identity = IdentityRecord(new_id(), "ada", long * 50, long, NOW, organization=long)
    await store.people.put_identity(identity)
    assert await store.people.identity(identity.id) == identity
    for refused in (
        store.people.put_identity(msgspec.structs.replace(identity, username=long)),
        store.people.put_account(AccountRecord(new_id(), long, NOW)),
        store.people.put_link(LinkRecord("https://idp.example.org", long, new_id(), NOW)),
        store.people.put_token(TokenRecord(b"\x01" * 32, new_id(), "", NOW, family=long)),
        store.people.put_member(MemberRecord(long, new_id(), MemberRole.MEMBER, NOW)),
    ):
        with raises(NotText):
            await refused
    longest = long[:800]
    await store.people.put_link(LinkRecord(longest, longest, longest, NOW))
    await store.people.put_grant(GrantRecord(longest, Principal.IDENTITY, longest, GrantRole.RUN, NOW))
    assert await store.people.link(longest, longest) is not None
    assert await store.people.link(long, long) is None
    assert await store.people.account(long) is None
    assert await store.people.identities_named([long * 20]) == []


async def nobody_is_found_by_what_is_no_text(store: Store) -> None:
    """Asking is no error."""
    for bad in ("a\0b", "\udfff"):
        assert await store.people.identity(bad) is None
        assert await store.people.identities([bad]) == {}
        assert await store.people.identities_named([bad]) == []
        assert await store.people.identities_of(bad) == []
        assert await store.people.account(bad) is None
        assert await store.people.account_of(bad) is None
        assert await store.people.link(bad, "x") is None
        assert await store.people.delete_link("x", bad) is False
        assert await store.people.client(bad) is None
        assert await store.people.tokens_of(bad) == []
        assert await store.people.delete_tokens(family=bad) == 0
        assert await store.people.delete_tokens(identity_id=bad) == 0
        assert await store.people.consent(bad, bad) is None
        assert await store.people.team(bad) is None
        assert await store.people.memberships([bad]) == []
        assert await store.people.grants_to([(Principal.TEAM, bad)]) == []
        assert await store.people.policy(bad) is None


async def people_may_have_ids_of_any_form(store: Store) -> None:
    """UUIDs, and what other services call their people, of all lengths."""
    ids = [new_id(), "a", "a" * 15, "a" * 16, "a" * 32, "a" * 36, "0" * 36, "zoé " * 9, "x" * 700, "-" * 36]
    for one in ids:
        identity = IdentityRecord(one, "ada", "Ada", "", NOW, person_id=one)
        await store.people.put_identity(identity)
        assert await store.people.identity(one) == identity
        assert await store.people.identities_of(one) == [identity]
    assert set(await store.people.identities(ids)) == set(ids)
