"""``afield group``: people with whom functions and endpoints are shared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from afield.cli.options import AsJson, ServiceUrl, ask_service, columns, note, plain, print_json, when
from afield.errors import ConfigurationError, InvalidId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from afield.sdk.login.questions import Questions
    from afield.wire.rest_people import Group, Member

__all__ = ["groups"]

_PATH: Final = "/afield/v1/groups"
_INVITATIONS: Final = "/afield/v1/invitations"
_DAY_S: Final = 86_400.0

_HELP: Final = """Groups of people, with whom functions and endpoints can be shared.

\b
  afield group create physics
  afield group invite physics          a code, which lets somebody join
  afield group join CODE
  afield group show physics
"""

_Group = Annotated[str, typer.Argument(help="Its name, or its id.", metavar="GROUP")]


def create(
    name: Annotated[str, typer.Argument(help="What its members know it by.", metavar="NAME")],
    description: Annotated[str, typer.Option(help="What it is for.", metavar="TEXT")] = "",
    service: ServiceUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a group; you are its manager.

    \b
    Example:
      afield group create physics --description "who may use the cluster"
    """
    from afield.wire.rest_people import Group, GroupWish

    questions = ask_service(service)
    others = _called(_mine(questions), name)
    made = questions.post(_PATH, GroupWish(name, description), Group)
    if others:
        which = ", ".join(one.id for one in others)
        note(
            f"You are in a group called {plain(made.name)} already: {which}. Name both by their ids from now on, or "
            f"delete the new one: afield group delete {made.id}"
        )
    if as_json:
        print_json(made)
    else:
        typer.echo(f"Made group {plain(made.name)}, {made.id}. Invite people: afield group invite {made.id}")


def list_(service: ServiceUrl = None, as_json: AsJson = False) -> None:
    """Show the groups that you are in.

    \b
    Examples:
      afield group list
      afield group list --json
    """
    found = _mine(ask_service(service))
    if as_json:
        print_json(found)
    elif not found:
        typer.echo("You are in no group. Make one: afield group create NAME")
    else:
        columns(("ID", "YOU ARE", "SINCE", "NAME"), *((g.id, g.role or "-", when(g.created_at), g.name) for g in found))


def show(group: _Group, service: ServiceUrl = None, as_json: AsJson = False) -> None:
    """Show a group, and who is in it.

    \b
    Example:
      afield group show physics
    """
    found = _find(ask_service(service), group)
    if as_json:
        print_json(found)
        return
    about = f"\n{plain(found.description)}" if found.description else ""
    typer.echo(f"{plain(found.name)}  {found.id}{about}\n")
    rows = [(one.username, one.name, one.role, when(one.since)) for one in found.members]
    columns(("USERNAME", "NAME", "ROLE", "SINCE"), *rows)


def invite(
    group: _Group,
    *,
    username: Annotated[
        str | None, typer.Option(help="Only they may use it.", metavar="USERNAME", show_default="whoever has the code")
    ] = None,
    manager: Annotated[bool, typer.Option("--manager", help="As a manager, who invites and removes others.")] = False,
    days: Annotated[float, typer.Option(help="For how many days it is good.", min=0.001, max=90)] = 7.0,
    service: ServiceUrl = None,
    as_json: AsJson = False,
) -> None:
    """Invite somebody into a group: the code is printed, once, and lets one person join.

    \b
    Examples:
      afield group invite physics
      afield group invite physics --username ada --manager
    """
    from afield.wire.rest_people import Invitation, InvitationWish

    questions = ask_service(service)
    wish = InvitationWish("manager" if manager else "member", username, max(60.0, days * _DAY_S))
    made = questions.post(f"{_PATH}/{_find(questions, group).id}/invitations", wish, Invitation)
    if as_json:
        print_json(made)
        return
    typer.echo(made.code)
    note(f"Good once, until {when(made.expires_at)}. To join: afield group join {made.code}")
    note(f"In a browser: {questions.url}{made.link}")


def join(
    code: Annotated[str, typer.Argument(help="Of an invitation, or its whole link.", metavar="CODE")],
    service: ServiceUrl = None,
    as_json: AsJson = False,
) -> None:
    """Join a group by an invitation.

    \b
    Example:
      afield group join k3Zx...
    """
    from afield.wire.rest_people import Group, InvitationAnswer

    answer = InvitationAnswer(code.strip().rstrip("/").rpartition("/")[2])
    joined = ask_service(service).post(_INVITATIONS, answer, Group)
    if as_json:
        print_json(joined)
    else:
        typer.echo(f"You are in group {plain(joined.name)} as a {joined.role}.")


def leave(group: _Group, service: ServiceUrl = None, as_json: AsJson = False) -> None:
    """Leave a group.

    \b
    Example:
      afield group leave physics
    """
    from afield.wire.rest_logins import WhoAmI

    questions = ask_service(service)
    found = _find(questions, group)
    me = questions.get("/afield/v1/whoami", WhoAmI)
    mine = {me.identity.id, *(one.id for one in me.linked)}
    left = [one for one in found.members if one.identity_id in mine]
    if not left:
        raise ConfigurationError(f"you are not in group {found.name} ({found.id}): nothing was changed")
    for one in left:
        questions.delete(f"{_PATH}/{found.id}/members/{one.identity_id}")
    if as_json:
        print_json({"id": found.id, "left": True})
    else:
        typer.echo(f"You have left group {plain(found.name)}.")


def remove(
    group: _Group,
    who: Annotated[str, typer.Argument(help="A member's username, or id.", metavar="USER")],
    service: ServiceUrl = None,
    as_json: AsJson = False,
) -> None:
    """Remove somebody from a group that you manage.

    \b
    Example:
      afield group remove physics bob
    """
    questions = ask_service(service)
    found = _find(questions, group)
    member = _member(found, who)
    questions.delete(f"{_PATH}/{found.id}/members/{member.identity_id}")
    if as_json:
        print_json({"id": found.id, "removed": member.identity_id})
    else:
        typer.echo(f"Removed {plain(member.username)} from group {plain(found.name)}.")


def delete(group: _Group, service: ServiceUrl = None, as_json: AsJson = False) -> None:
    """Remove a group that you manage. What was shared with it is not shared any more.

    \b
    Example:
      afield group delete physics
    """
    questions = ask_service(service)
    found = _find(questions, group)
    questions.delete(f"{_PATH}/{found.id}")
    if as_json:
        print_json({"id": found.id, "deleted": True})
    else:
        typer.echo(f"Removed group {plain(found.name)}.")


def _mine(questions: Questions) -> list[Group]:
    from afield.wire.rest_people import GroupList

    return questions.get(_PATH, GroupList).groups


def _called(several: Sequence[Group], name: str) -> list[Group]:
    return [one for one in several if one.name.casefold() == name.strip().casefold()]


def _find(questions: Questions, group: str) -> Group:
    """The group that somebody means, with its members."""
    from afield.ids import parse_id
    from afield.wire.rest_people import Group

    try:
        group_id = parse_id(group, "group")
    except InvalidId:
        named = _called(_mine(questions), group)
        if len(named) != 1:
            which = ", ".join(one.id for one in named)
            raise ConfigurationError(
                f"several groups of yours are called {group!r}: name one by its id, of {which}"
                if named
                else f"you are in no group called {group!r}: `afield group list` shows yours"
            ) from None
        group_id = named[0].id
    return questions.get(f"{_PATH}/{group_id}", Group)


def _member(group: Group, who: str) -> Member:
    wanted = who.strip().casefold()
    found = [one for one in group.members if wanted in {one.username.casefold(), one.identity_id}]
    if len(found) != 1:
        raise ConfigurationError(
            f"{len(found) or 'no'} members of group {group.name} are called {who}: `afield group show {group.id}` "
            "shows who is in it"
        )
    return found[0]


def groups() -> typer.Typer:
    """The group of commands."""
    app = typer.Typer(help=_HELP, no_args_is_help=True, add_completion=False)
    app.command()(create)
    app.command("list")(list_)
    for command in (show, invite, join, leave, remove, delete):
        app.command()(command)
    return app
