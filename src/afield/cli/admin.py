"""``afield admin user``: the accounts of a service, for those who administrate it."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Final, Protocol

import typer

from afield.cli.options import AsJson, ServiceUrl, ask_service, columns, note, print_json, when
from afield.errors import ConfigurationError, InvalidId
from afield.wire.rest_accounts import Account, AccountChange, AccountList, AccountWish, NewPassword, PasswordWish

__all__ = ["Accounts", "admin"]

_PATH: Final = "/afield/v1/accounts"
#: Where the floor that has the store offers :class:`Accounts` without a running service.
_ON_HOST: Final = "afield.accounts"

_HELP: Final = """Run a service for others.

\b
  afield admin user create ada --name "Ada Lovelace"
  afield admin user list
"""
_USER_HELP: Final = """The accounts with which people log in at this service.

\b
Who started a service needs no account to do this. On a machine of your institution's, the first account is made on the
host itself: afield admin user create NAME --admin --config FILE (or --data DIRECTORY, or --database URL).
"""

_User = Annotated[str, typer.Argument(help="Their username, or the id of their identity.", metavar="USER")]
_Data = Annotated[
    Path | None,
    typer.Option(help="Work on this data directory itself, while no service runs on it.", metavar="DIRECTORY"),
]
_Database = Annotated[
    str | None, typer.Option(help="Work on this database itself; services may run on it.", metavar="URL")
]
_Config = Annotated[
    Path | None,
    typer.Option(help="Work on the database that the service's configuration file names.", metavar="FILE"),
]
_AskPassword = Annotated[bool, typer.Option("--ask-password", help="Type a password here, instead of a link.")]
_PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read a password from standard input, instead of a link.")
]


class Accounts(Protocol):
    """What can be done with accounts, wherever they are."""

    def list(self, username: str | None) -> AccountList:
        """All, or the one of a name."""

    def describe(self, identity_id: str) -> Account:
        """One."""

    def make(self, wish: AccountWish) -> NewPassword:
        """A new one."""

    def change(self, identity_id: str, wish: AccountChange) -> Account:
        """Disable, enable, let administrate."""

    def reset_password(self, identity_id: str, wish: PasswordWish) -> NewPassword:
        """Forget a password."""


class _AtService:
    """Accounts of a running service."""

    def __init__(self, url: str | None) -> None:
        self._questions = ask_service(url)

    def list(self, username: str | None) -> AccountList:
        return self._questions.get(_PATH, AccountList, username=username)

    def describe(self, identity_id: str) -> Account:
        return self._questions.get(f"{_PATH}/{identity_id}", Account)

    def make(self, wish: AccountWish) -> NewPassword:
        return self._questions.post(_PATH, wish, NewPassword)

    def change(self, identity_id: str, wish: AccountChange) -> Account:
        return self._questions.put(f"{_PATH}/{identity_id}", wish, Account)

    def reset_password(self, identity_id: str, wish: PasswordWish) -> NewPassword:
        return self._questions.post(f"{_PATH}/{identity_id}/password", wish, NewPassword)


def create(
    username: Annotated[str, typer.Argument(help="With which they log in.", metavar="USERNAME")],
    *,
    name: Annotated[str, typer.Option(help="What people call them.", metavar="TEXT")] = "",
    email: Annotated[str, typer.Option(help="Where they are written to.", metavar="ADDRESS")] = "",
    organization: Annotated[str | None, typer.Option(help="Where they belong.", metavar="TEXT")] = None,
    is_admin: Annotated[bool, typer.Option("--admin", help="May administrate this service.")] = False,
    ask_password: _AskPassword = False,
    password_stdin: _PasswordStdin = False,
    service: ServiceUrl = None,
    data: _Data = None,
    database: _Database = None,
    config: _Config = None,
    as_json: AsJson = False,
) -> None:
    """Make an account. A link is printed, once, by which its owner sets the password.

    \b
    Examples:
      afield admin user create ada --name "Ada Lovelace" --email ada@example.org
      afield admin user create root --admin --config /etc/afield/service.toml
      afield admin user create root --admin --data /var/lib/afield
      afield admin user create root --admin --database postgresql://afield@db/afield
    """
    password = _password(ask=ask_password, from_stdin=password_stdin)
    accounts = _accounts(service, data, database, config)
    made = accounts.make(AccountWish(username, name, email, organization, password, is_admin))
    _tell_of_password(made, "Made", as_json=as_json)


def list_(
    service: ServiceUrl = None,
    data: _Data = None,
    database: _Database = None,
    config: _Config = None,
    as_json: AsJson = False,
) -> None:
    """Show all accounts.

    \b
    Examples:
      afield admin user list
      afield admin user list --json
    """
    found = _accounts(service, data, database, config).list(None).accounts
    if as_json:
        print_json(found)
    elif not found:
        typer.echo("There are no accounts. Make one: afield admin user create USERNAME")
    else:
        columns(("USERNAME", "NAME", "STATE", "SINCE", "ID"), *map(_row, found))


def disable(
    user: _User,
    *,
    service: ServiceUrl = None,
    data: _Data = None,
    database: _Database = None,
    config: _Config = None,
    as_json: AsJson = False,
) -> None:
    """Close an account: its owner, their programs and their clients come in no more, at once. Nothing is deleted.

    \b
    Example:
      afield admin user disable ada
    """
    _change(user, AccountChange(disabled=True), "Disabled", _accounts(service, data, database, config), as_json=as_json)


def enable(
    user: _User,
    *,
    service: ServiceUrl = None,
    data: _Data = None,
    database: _Database = None,
    config: _Config = None,
    as_json: AsJson = False,
) -> None:
    """Open an account again. Its owner logs in anew.

    \b
    Example:
      afield admin user enable ada
    """
    _change(user, AccountChange(disabled=False), "Enabled", _accounts(service, data, database, config), as_json=as_json)


def make_admin(
    user: _User,
    *,
    undo: Annotated[bool, typer.Option("--undo", help="They administrate it no longer.")] = False,
    service: ServiceUrl = None,
    data: _Data = None,
    database: _Database = None,
    config: _Config = None,
    as_json: AsJson = False,
) -> None:
    """Let somebody administrate this service, or no longer.

    \b
    Examples:
      afield admin user make-admin ada
      afield admin user make-admin ada --undo
    """
    done = "No administrator any more:" if undo else "Administrates this service now:"
    _change(user, AccountChange(is_admin=not undo), done, _accounts(service, data, database, config), as_json=as_json)


def reset_password(
    user: _User,
    *,
    log_out: Annotated[
        bool, typer.Option("--log-out", help="Also end all programs that they let in, as when it was stolen.")
    ] = False,
    ask_password: _AskPassword = False,
    password_stdin: _PasswordStdin = False,
    service: ServiceUrl = None,
    data: _Data = None,
    database: _Database = None,
    config: _Config = None,
    as_json: AsJson = False,
) -> None:
    """Forget somebody's password. A link is printed, once, by which they set another one.

    \b
    Examples:
      afield admin user reset-password ada
      afield admin user reset-password ada --log-out
    """
    password = _password(ask=ask_password, from_stdin=password_stdin)
    accounts = _accounts(service, data, database, config)
    made = accounts.reset_password(_find(accounts, user).id, PasswordWish(password, log_out))
    _tell_of_password(made, "Forgot the password of", as_json=as_json)


def _accounts(service: str | None, data: Path | None, database: str | None, config: Path | None) -> Accounts:
    if data is None and database is None and config is None:
        return _AtService(service)
    found = [*entry_points(group=_ON_HOST, name="host")]
    if not found:
        raise ConfigurationError(
            "--config, --data and --database need the service's part of Afield, which is not installed: pip install "
            "'afield[service]'"
        )
    accounts: Accounts = found[0].load()(data, database, service, config)
    return accounts


def _change(user: str, wish: AccountChange, done: str, accounts: Accounts, *, as_json: bool) -> None:
    changed = accounts.change(_find(accounts, user).id, wish)
    if as_json:
        print_json(changed)
    else:
        typer.echo(f"{done} {changed.username}.")


def _find(accounts: Accounts, user: str) -> Account:
    from afield.ids import parse_id

    try:
        return accounts.describe(parse_id(user, "account"))
    except InvalidId:
        found = accounts.list(user).accounts
    if not found:
        raise ConfigurationError(f"there is no account {user}: `afield admin user list` shows all")
    return found[0]


def _password(*, ask: bool, from_stdin: bool) -> str | None:
    if ask and from_stdin:
        raise typer.BadParameter("--ask-password and --password-stdin exclude each other: give one of them, or none")
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True)) if ask else None


def _tell_of_password(made: NewPassword, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    role = ", who administrates this service" if made.account.is_admin else ""
    if made.link is None:
        typer.echo(f"{done} {made.account.username}{role}, with the password that you gave.")
        return
    note(f"{done} {made.account.username}{role}. By this link they set their password, once:")
    typer.echo(made.link)
    note(f"It is good until {when(made.link_expires_at)}, and is shown this once.")


def _row(account: Account) -> tuple[str, ...]:
    state = "in use" if account.has_password or account.outside else "waits for a password"
    if account.disabled_at is not None:
        state = "disabled"
    elif account.is_admin:
        state += ", administrates"
    return account.username, account.name, state, when(account.created_at), account.id


def admin() -> typer.Typer:
    """The group of commands; floors above hang more into it."""
    user = typer.Typer(help=_USER_HELP, no_args_is_help=True, add_completion=False)
    user.command()(create)
    user.command("list")(list_)
    user.command()(disable)
    user.command()(enable)
    user.command("reset-password")(reset_password)
    user.command("make-admin")(make_admin)
    app = typer.Typer(help=_HELP, no_args_is_help=True, add_completion=False)
    app.add_typer(user, name="user")
    return app
