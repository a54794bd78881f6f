"""``afield client``: programs that are somebody by themselves, or with which people log in."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from afield.cli.options import AsJson, ServiceUrl, ask_service, columns, note, print_json, when

__all__ = ["clients"]

_PATH: Final = "/afield/v1/clients"

_HELP: Final = """Have programs be somebody by themselves: endpoints that outlive you, services that submit.

\b
  afield client create "beamline 7"   an id and a secret, for AFIELD_CLIENT_ID and AFIELD_CLIENT_SECRET
  afield client list
  afield client delete ID
"""


def create(
    name: Annotated[str, typer.Argument(help="What it is, for people.", metavar="NAME")],
    native: Annotated[
        bool, typer.Option("--native", help="Without a secret: a program with which people log in.")
    ] = False,
    redirect_uri: Annotated[
        list[str] | None,
        typer.Option(help="Where people may be sent back with a code; may be given several times.", metavar="URL"),
    ] = None,
    service: ServiceUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a client. Its secret is printed, once, and kept nowhere.

    \b
    Examples:
      afield client create "beamline 7"
      afield client create portal --redirect-uri https://portal.example.org/back
    """
    from afield.wire.rest_logins import ClientWish, NewClient

    wish = ClientWish(name, has_secret=not native, redirect_uris=redirect_uri or [])
    made = ask_service(service).post(_PATH, wish, NewClient)
    if as_json:
        print_json(made)
        return
    typer.echo(f"AFIELD_CLIENT_ID={made.client.id}")
    if made.secret is not None:
        typer.echo(f"AFIELD_CLIENT_SECRET={made.secret}")
        note("The secret is shown this once. With both set, a program is this client and not you.")


def list_(service: ServiceUrl = None, as_json: AsJson = False) -> None:
    """Show your clients.

    \b
    Examples:
      afield client list
      afield client list --json
    """
    from afield.wire.rest_logins import ClientList

    found = ask_service(service).get(_PATH, ClientList).clients
    if as_json:
        print_json(found)
    elif not found:
        typer.echo("You have no clients. Make one: afield client create NAME")
    else:
        rows = [
            (
                one.id,
                "with a secret" if one.has_secret else "native",
                when(one.created_at),
                "disabled" if one.disabled_at else "in use",
                one.name,
            )
            for one in found
        ]
        columns(("ID", "KIND", "SINCE", "STATE", "NAME"), *rows)


def delete(
    client_id: Annotated[str, typer.Argument(help="As `afield client list` shows it.", metavar="ID")],
    service: ServiceUrl = None,
    as_json: AsJson = False,
) -> None:
    """Remove a client: its tokens let nobody in any more.

    \b
    Example:
      afield client delete 4b116d3c-1703-4f8f-9f6f-39921e5864df
    """
    from afield.ids import parse_id

    client_id = parse_id(client_id, "client")
    ask_service(service).delete(f"{_PATH}/{client_id}")
    if as_json:
        print_json({"id": client_id, "deleted": True})
    else:
        typer.echo(f"Removed {client_id}.")


def clients() -> typer.Typer:
    """The group of commands."""
    app = typer.Typer(help=_HELP, no_args_is_help=True, add_completion=False)
    app.command()(create)
    app.command("list")(list_)
    app.command()(delete)
    return app
