"""``afield endpoint enable-on-boot`` and ``disable-on-boot``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from afield.endpoint.cli.names import Name, existing

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["disable_on_boot", "enable_on_boot"]

System = Annotated[
    bool | None,
    typer.Option("--system/--user", help="A unit of the machine or of this user.  [default: of the machine for root]"),
]


def enable_on_boot(
    name: Name = "default",
    system: System = None,
    run_as: Annotated[
        str | None, typer.Option("--run-as", metavar="USER", help="In whose name a --system unit runs.")
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Print the unit, and change nothing.")] = False,
) -> None:
    """Have systemd start an endpoint with the machine, and again whenever it fails. Linux with systemd only.

    What needs a token from the environment finds it in service.env in the endpoint's directory, if you write it there.

    \b
    Examples:
      afield endpoint enable-on-boot mine
      afield endpoint enable-on-boot mine --print
      sudo afield endpoint enable-on-boot shared --system --run-as afield
    """
    import tempfile
    from pathlib import Path

    from afield.endpoint.host import systemd
    from afield.errors import ConfigurationError

    directory = existing(name)
    where = systemd.place(system=_for_machine(system))
    if run_as is not None and not where.system:
        raise ConfigurationError("a unit of this user runs in this user's name: leave --run-as away, or add --system")
    unit = systemd.unit_name(directory.name)
    text = systemd.unit_text(directory.name, where, user=run_as, secrets=directory.path / "service.env")
    if show:
        typer.echo(text.rstrip())
        return
    systemd.check_running()
    with tempfile.TemporaryDirectory() as scratch:
        wrong = systemd.complaints(text, unit, Path(scratch), system=where.system)
    if wrong:
        raise ConfigurationError(f"systemd does not take the unit: {wrong}")
    _write(where.directory / unit, text)
    systemd.systemctl(["daemon-reload"], system=where.system)
    systemd.systemctl(["enable", unit], system=where.system)
    ctl = "systemctl" if where.system else "systemctl --user"
    typer.echo(f"Enabled: {where.directory / unit}\nStart it now with: {ctl} start {unit}")
    if not where.system:
        typer.echo("It runs while you are logged in; to run it without that: loginctl enable-linger")
    if os.environ.get("AFIELD_TOKEN") and not (directory.path / "service.env").exists():
        typer.echo(
            f"warning: AFIELD_TOKEN is set here and not kept in the unit. Log in with `afield login`, or write it to "
            f"{directory.path / 'service.env'}, readable by you alone", err=True,
        )  # fmt: skip


def disable_on_boot(name: Name = "default", system: System = None) -> None:
    """Undo enable-on-boot. A running endpoint goes on.

    \b
    Example:
      afield endpoint disable-on-boot mine
    """
    from afield.endpoint.host import systemd

    where = systemd.place(system=_for_machine(system))
    unit = systemd.unit_name(existing(name).name)
    path = where.directory / unit
    if not path.exists():
        typer.echo(f"The endpoint {name} is not started with the machine: there is no {path}.")
        return
    systemd.systemctl(["disable", unit], system=where.system)
    path.unlink()
    systemd.systemctl(["daemon-reload"], system=where.system)
    typer.echo(f"Disabled: {path} is removed")


def _for_machine(system: bool | None) -> bool:
    return os.geteuid() == 0 if system is None else system


def _write(path: Path, text: str) -> None:
    from afield.errors import ConfigurationError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        hint = "; a unit of the machine needs root, one of yours: --user" if isinstance(error, PermissionError) else ""
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}{hint}") from error
