"""``afield token``: personal access tokens, for programs of one's own on other machines."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from afield.cli.options import AsJson, ServiceUrl, ask_service, columns, note, print_json, when

__all__ = ["tokens"]

_PATH: Final = "/afield/v1/tokens"
_DAY_S: Final = 86_400.0

_HELP: Final = """Let programs of yours in, and out again.

\b
  export AFIELD_TOKEN=$(afield token create "nightly run")
  afield token list
  afield token revoke ID
"""


def create(
    label: Annotated[str, typer.Argument(help="What it is for; you know it by that.", metavar="LABEL")],
    *,
    days: Annotated[float, typer.Option(help="After how many days it ends.", min=0.001, max=3650)] = 90.0,
    no_end: Annotated[bool, typer.Option("--no-end", help="It ends when it is revoked.")] = False,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it is good for.", metavar="SCOPE", show_default="endpoints, functions and tasks"),
    ] = None,
    service: ServiceUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a personal access token. It is printed, once, and kept nowhere.

    Whoever has it is you, for what it is good for: give it to programs as AFIELD_TOKEN, and to nobody.

    \b
    Examples:
      afield token create "nightly run"
      afield token create laptop --days 7 --json
    """
    from afield.wire.rest_logins import NewToken, TokenWish

    wish = TokenWish(label, None if no_end else max(60.0, days * _DAY_S), scope or None)
    made = ask_service(service).post(_PATH, wish, NewToken)
    if as_json:
        print_json(made)
        return
    typer.echo(made.token)
    until = when(made.about.expires_at, "it is revoked")
    note(f"It is good until {until}, and is shown this once. To end it: afield token revoke {made.about.id}")


def list_(service: ServiceUrl = None, as_json: AsJson = False) -> None:
    """Show your tokens, and the programs that you let in (`afield login` is one).

    \b
    Examples:
      afield token list
      afield token list --json
    """
    from afield.wire.rest_logins import TokenList

    found = ask_service(service).get(_PATH, TokenList).tokens
    if as_json:
        print_json(found)
    elif not found:
        typer.echo("You have no tokens. Make one: afield token create LABEL")
    else:
        rows = [(one.id, one.kind, when(one.created_at), when(one.expires_at, "revoked"), one.label) for one in found]
        columns(("ID", "KIND", "SINCE", "UNTIL", "LABEL"), *rows)


def revoke(
    token_id: Annotated[list[str], typer.Argument(help="As `afield token list` shows it.", metavar="ID...")],
    service: ServiceUrl = None,
    as_json: AsJson = False,
) -> None:
    """End tokens, or log programs out: nobody comes in by them any more.

    \b
    Example:
      afield token revoke 0f3a9c52d1e07b44
    """
    from urllib.parse import quote

    questions = ask_service(service)
    done: list[dict[str, Any]] = []
    for each in token_id:
        questions.delete(f"{_PATH}/{quote(each, safe='')}")
        done.append({"id": each, "revoked": True})
        if not as_json:
            typer.echo(f"Revoked {each}.")
    if as_json:
        print_json(done)


def tokens() -> typer.Typer:
    """The group of commands."""
    app = typer.Typer(help=_HELP, no_args_is_help=True, add_completion=False)
    app.command()(create)
    app.command("list")(list_)
    app.command()(revoke)
    return app
