"""``afield env`` and ``afield forward``: the published packages at a service of one's own, without changing them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from afield.cli.options import AsJson, ServiceUrl, note, plain, print_json, when
from afield.errors import ConfigurationError

if TYPE_CHECKING:
    from afield.sdk.login.for_published import Credentials

__all__ = ["env", "forward"]

_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LEAVE_RUNNING: Final = "leave `afield forward` running in another terminal"


def env(
    file: Annotated[
        Path | None,
        typer.Argument(help="With --write: the file.", metavar="FILE", show_default="one below ~/.afield/published"),
    ] = None,
    *,
    write: Annotated[
        bool, typer.Option("--write", help="Write a file for `set -a; . FILE` and for systemd's EnvironmentFile=.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is not this command's.")] = False,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="Without credentials: people log in in the browser.")
    ] = False,
    unset: Annotated[bool, typer.Option("--unset", help="Take it back, in this shell.")] = False,
    days: Annotated[float, typer.Option(help="After how many days a token that is made ends.", min=1, max=3650)] = 90.0,
    no_end: Annotated[bool, typer.Option("--no-end", help="It ends when it is revoked.")] = False,
    new: Annotated[bool, typer.Option("--new", help="Make another token, and revoke the one that is kept.")] = False,
    service: ServiceUrl = None,
    as_json: AsJson = False,
) -> None:
    """Point the published packages (globus-compute-sdk, globus-compute-endpoint) at your service, as you.

    Prints what a shell has to set. They come in by a personal access token of yours that is made for this machine once,
    kept readable by you alone, and used again.

    \b
    Examples:
      eval "$(afield env)"
      set -a; . "$(afield env --write)"; set +a
      eval "$(afield env --unset)"
    """
    from afield.cli import exports

    if file is not None and not write:
        raise typer.BadParameter("a file goes with --write")
    if interactive and (new or no_end):
        raise typer.BadParameter("--interactive makes no token: leave out --new and --no-end")
    if unset:
        typer.echo(exports.as_unsets(_set_here()), nl=False)
        note("`afield token list` shows the token that the published packages used; `afield token revoke ID` ends it.")
        return
    url = _address(service)
    # Before anything is made or revoked for what cannot be written then.
    path = _to_write(url, file, force=force) if write else None
    found = None if interactive else _credentials(url, None if no_end else days, anew=new)
    client = None if found is None else (found.client_id, found.secret)
    said = exports.variables(url, client, _certificates(url), os.environ)
    if path is not None:
        _write(path, url, said)
    if as_json:
        print_json({"service": url, "needs_forward": not exports.is_direct(url), "variables": said, **_public(found)})
    elif path is not None:
        typer.echo(str(path))
    else:
        stale = exports.stale_client(os.environ) if interactive else ()
        typer.echo(exports.as_unsets(stale) + exports.as_exports(said), nl=False)
        if sys.stdout.isatty():
            note('\nIn a shell: eval "$(afield env)"')
    _tell(url, found)


def forward(
    *,
    port: Annotated[
        int,
        typer.Option(help="Where to listen; published packages look at 5000 only. 0: a free one.", min=0, max=65535),
    ] = 5000,
    service: ServiceUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make your service answer at http://localhost:5000, where published packages look for it.

    Only programs on this machine come through, with credentials of their own; nothing is kept. Leave it running beside
    them. A service that was started with `afield up --port 5000` needs none of this.

    \b
    Examples:
      afield forward
      afield forward --service https://compute.example.org
    """
    from afield.cli.forward.attended import run
    from afield.sdk.login.known import same_service

    url = _address(service)
    if port and same_service(url, f"http://localhost:{port}"):
        raise ConfigurationError(
            f"your service is at {url} itself, so nothing needs to be passed on. (If you mean another one, say so with "
            "--service.)"
        )
    run(url, port, as_json=as_json)


def _address(service: str | None) -> str:
    """Of the service that is meant.

    :raises ConfigurationError: it has none, or one that published packages cannot use
    """
    from urllib.parse import urlsplit

    from afield.sdk.login.source import checked_url, find_url

    url = checked_url(service or find_url()).rstrip("/")
    if path := urlsplit(url).path:
        raise ConfigurationError(
            f"{url} has a path, and published packages ask for paths that begin at the root: your service needs an "
            f"address of its own, such as {url.removesuffix(path)}"
        )
    return url


def _credentials(url: str, days: float | None, *, anew: bool) -> Credentials:
    from afield.sdk.login.for_published import credentials

    return credentials(url, days=days, anew=anew)


def _public(found: Credentials | None) -> dict[str, object]:
    if found is None:
        return {"token": None}
    return {"token": {"id": found.client_id, "username": found.username, "expires_at": found.expires_at}}


def _certificates(url: str) -> str | None:
    """The file of roots that shall be believed, where the environment names one."""
    if not url.startswith("https:"):
        return None
    from afield.broker.tls import own_context

    context = own_context()
    if context is None:
        return os.environ.get("SSL_CERT_FILE") or None
    import ssl

    from afield.sdk.login import private_files
    from afield.sdk.login.for_published import place

    # Theirs take the place of the system's roots where ours are beside them, so both go into one file.
    roots = "".join(map(ssl.DER_cert_to_PEM_cert, context.get_ca_certs(binary_form=True)))
    path = place(url, ".pem")
    private_files.write(path, roots.encode(), "the certificates")
    return str(path)


def _set_here() -> list[str]:
    """What this environment has of what `afield env` sets."""
    from afield.cli.exports import CLIENT, NAMES, stale_client
    from afield.sdk.login.known import user_dir

    # A client that somebody named themselves is left to them.
    names = NAMES if stale_client(os.environ) else [name for name in NAMES if name not in CLIENT]
    found = [name for name in names if name in os.environ]
    roots = os.environ.get("SSL_CERT_FILE")
    if roots and Path(roots).parent == user_dir() / "published":
        found.append("SSL_CERT_FILE")
    return found


def _to_write(url: str, file: Path | None, *, force: bool) -> Path:
    """The file into which the variables go.

    :raises ConfigurationError: there is something else
    """
    from afield.cli import exports
    from afield.sdk.login.for_published import place

    try:
        path = place(url, ".env") if file is None else file.expanduser().resolve()
    except RuntimeError as error:  # nobody has this name, or links lead in a circle
        raise ConfigurationError(f"{file} leads nowhere ({error}): name another file") from error
    try:
        before = path.read_text(errors="replace") if path.is_file() or not path.exists() else None
    except FileNotFoundError:
        before = exports.MARK
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
    if before is None:
        raise ConfigurationError(f"{path} is no file: name one that is, or that is not there yet")
    if not (force or before.startswith(exports.MARK)):
        raise ConfigurationError(
            f"{path} is there already, and not from this command: name another file, or write over it with --force"
        )
    return path


def _write(path: Path, url: str, said: dict[str, str]) -> None:
    from afield.cli import exports
    from afield.sdk.login import private_files

    content = exports.as_file(said, f"the published packages at {url}. It holds a secret.")
    private_files.write(path, content.encode(), "the variables", "Name a file in a directory of yours")


def _tell(url: str, found: Credentials | None) -> None:
    """Hints, which are in no program's way."""
    from urllib.parse import urlsplit

    from afield.cli.exports import is_direct
    from afield.sdk.login.client_credentials import PUBLISHED_URL

    if found is not None and found.username:
        until = when(found.expires_at, "you revoke it")
        note(
            f"The published packages are {plain(found.username)} at {url}, by the token {plain(found.client_id)}, "
            f"until {until}."
        )
    is_here = urlsplit(url).hostname in _LOCAL
    if not is_here and url.startswith("http:"):
        note(f"{url} is not encrypted: who is on the way there can read the tokens. Has it no address with https?")
    if is_direct(url):
        return
    if is_here:
        note(f"They look for it at {PUBLISHED_URL} only: {_LEAVE_RUNNING}, or start it with `afield up --port 5000`.")
    else:
        note(f"They look for it at {PUBLISHED_URL} only: {_LEAVE_RUNNING}.")
