"""Accounts, by whoever runs a service, by those whom they let administrate it, and on the host without asking it."""

from __future__ import annotations

import asyncio
import json
import os
import time

import httpx2
import pytest

from afield.errors import ConfigurationError, DataDirectoryError
from afield.sdk.login import known
from afield.sdk.login.known import KnownService
from afield.service.accounts_on_host import AccountsOnHost
from afield.service.app import Service
from afield.service.settings import Settings, SignIn
from afield.wire.rest_accounts import AccountChange, AccountWish, PasswordWish

NEW_PASSWORD = "four other words now"
QUICK = SignIn(password_memory_kib=64, password_rounds=1)


@pytest.fixture
def host(site, machine):
    """Of whoever started the service."""
    made = machine("host")
    service = KnownService(service_url=site.url, token=site.running.token, pid=os.getpid(), started_at=time.time())
    known.publish(service, made.home)
    return made


def set_password(site, link, password=NEW_PASSWORD):
    browser = site.browser("bob", password)
    browser._follow(browser.http.get(link))
    return browser.submit(new=password, again=password)


@pytest.mark.e2e
def test_somebody_is_let_in_and_shut_out(site, host, machine):
    assert host.run("admin", "user", "list").split()[:1] == ["USERNAME"]
    link = host.run("admin", "user", "create", "Bob", "--name", "Bob B", "--email", "b@example.org").strip()
    assert link.startswith(f"{site.url}/v2/web/invitation?ticket=")
    assert "waits for a password" in host.run("admin", "user", "list")
    assert set_password(site, link).status_code == 200
    bob = machine("bobs")
    typing = bob.start("login", "--no-browser")
    typing.until(r"http\S+\n")
    code, out, said = typing.finish(site.pasted(site.browser("bob", NEW_PASSWORD), typing.said) + "\n")
    assert code == 0, said
    assert out == f"Logged in at {site.url} as bob (Bob B).\n"
    assert "Only those who administrate" in bob.run("admin", "user", "list", code=1)
    assert "Only those who administrate" in bob.run("admin", "user", "create", "eve", code=1)

    assert host.run("admin", "user", "make-admin", "bob") == "Administrates this service now: bob.\n"
    assert json.loads(bob.run("admin", "user", "list", "--json"))[1]["username"] == "bob"
    assert "lock yourself out" in bob.run("admin", "user", "disable", "bob", code=1)
    assert "ada" in bob.run("admin", "user", "disable", "ada")
    assert "disabled" in bob.run("admin", "user", "list")
    assert bob.run("admin", "user", "enable", site.ada.id) == "Enabled ada.\n"
    assert host.run("admin", "user", "make-admin", "bob", "--undo") == "No administrator any more: bob.\n"
    site.clock.advance(10)
    assert "Only those who administrate" in bob.run("admin", "user", "list", code=1)

    assert host.run("admin", "user", "disable", "bob") == "Disabled bob.\n"
    assert "has expired or was revoked" in bob.run("whoami", code=1)
    assert "there is no account eve" in host.run("admin", "user", "disable", "eve", code=1)
    assert "is an account bob already" in host.run("admin", "user", "create", "BOB", code=1)


@pytest.mark.e2e
def test_a_password_that_is_given_or_forgotten(site, host):
    host.run("admin", "user", "create", "bob", "--password-stdin", typed=f"{NEW_PASSWORD}\n")
    page = site.browser("bob", NEW_PASSWORD).visit("/v2/web/login")
    assert "You are bob on this service" in page.text
    reset = ("admin", "user", "reset-password", "bob")
    assert "too short" in host.run(*reset, "--password-stdin", code=1, typed="short\n")
    made = json.loads(host.run(*reset, "--log-out", "--json"))
    assert made["account"]["username"] == "bob"
    assert not made["account"]["has_password"]
    assert set_password(site, made["link"], "and once more four words").status_code == 200


# -- on the host ------------------------------------------------------------------------------------------------------


async def started(place):
    service = Service()
    running = await service.start(Settings(data_dir=place, port=0, amqp_port=0, sign_in=QUICK))
    return service, running


@pytest.mark.e2e
def test_the_first_account_of_a_service_that_nobody_has_started_yet(machine, tmp_path):
    place = tmp_path / "of a new service"
    home = machine("nobodys")
    del home.environ["AFIELD_SERVICE_URL"]
    assert "is no directory" in home.run("admin", "user", "create", "root", "--admin", "--data", str(place), code=1)
    place.mkdir()
    create = ("admin", "user", "create", "root", "--admin", "--data", str(place))
    link = home.run(*create, "--service", "https://compute.example.org").strip()
    assert link.startswith("https://compute.example.org/v2/web/invitation?ticket=")
    [account] = json.loads(home.run("admin", "user", "list", "--data", str(place), "--json"))
    assert (account["username"], account["is_admin"]) == ("root", True)
    assert "is an account root already" in home.run(*create, code=1)


def test_a_configuration_file_says_where_accounts_and_links_are(machine, tmp_path):
    place, config = tmp_path / "kept", tmp_path / "service.toml"
    place.mkdir()
    config.write_text(f'data_dir = "{place}"\npublic_url = "https://compute.example.org"\n', encoding="utf-8")
    home = machine("nobodys")
    create = ("admin", "user", "create", "root", "--admin", "--config", str(config))
    assert home.run(*create).startswith("https://compute.example.org/v2/web/invitation?ticket=")
    [account] = json.loads(home.run("admin", "user", "list", "--config", str(config), "--json"))
    assert account["username"] == "root"
    assert [one.username for one in AccountsOnHost(place, None).list(None).accounts] == ["root"]
    # What is said on the command line goes before the file.
    assert AccountsOnHost(None, f"sqlite:///{tmp_path}/other.db", config=config).list(None).accounts == []
    config.write_text(f'data_dir = "{tmp_path}/nowhere"\n', encoding="utf-8")
    assert "nowhere is no directory" in home.run(*create, code=1)
    config.write_text("databse = 7\n", encoding="utf-8")
    assert "did you mean database?" in home.run(*create, code=1)


def test_what_is_done_on_the_host_counts_for_the_service(tmp_path):
    place = tmp_path / "data"
    place.mkdir()
    accounts = AccountsOnHost(place, None)
    made = accounts.make(AccountWish("root", password=NEW_PASSWORD, is_admin=True))
    assert made.link is None
    other = accounts.make(AccountWish("Eve"))
    assert other.link.startswith("https://your-service/v2/web/invitation?ticket=")
    assert accounts.describe(made.account.id).is_admin
    assert [one.username for one in accounts.list(None).accounts] == ["eve", "root"]
    assert accounts.change(other.account.id, AccountChange(disabled=True)).disabled_at is not None
    with pytest.raises(ConfigurationError, match="is disabled"):
        accounts.reset_password(other.account.id, PasswordWish())
    with pytest.raises(ConfigurationError, match="no account"):
        accounts.describe("4b116d3c-1703-4f8f-9f6f-39921e5864df")

    async def look():
        service, running = await started(place)
        try:
            # Its data belong to the service while it runs.
            with pytest.raises(DataDirectoryError):
                await asyncio.to_thread(AccountsOnHost(place, None).list, None)
            async with httpx2.AsyncClient(base_url=running.service_url, trust_env=False, verify=False) as http:
                headers = {"Authorization": f"Bearer {running.token}"}
                return (await http.get("/afield/v1/accounts", headers=headers)).json()["accounts"]
        finally:
            await service.stop()

    assert [one["username"] for one in asyncio.run(look())] == ["eve", "root"]


def test_a_database_that_is_none(tmp_path):
    with pytest.raises(ConfigurationError, match="names no database"):
        AccountsOnHost(None, "mysql://x").list(None)
    there = AccountsOnHost(None, f"sqlite:///{tmp_path}/some.db")
    assert there.make(AccountWish("root")).account.username == "root"
    assert AccountsOnHost(None, f"sqlite:///{tmp_path}/some.db").list("ROOT").accounts[0].username == "root"
