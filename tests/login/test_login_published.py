"""`afield env`: what published packages are told, and as whom they come."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from afield.cli import exports
from afield.errors import ComputeAPIError, ConfigurationError
from afield.sdk.login.client_credentials import ClientCredentials, find
from afield.sdk.login.for_published import SCOPES, credentials, place
from afield.sdk.login.plain_http import post_form
from afield.sdk.login.questions import Questions
from afield.sdk.login.source import BearerToken, checked_url
from afield.wire.rest_logins import NewClient, NewToken, TokenList, WhoAmI

WHOAMI, TOKENS, CLIENTS = "/afield/v1/whoami", "/afield/v1/tokens", "/afield/v1/clients"
ID, SECRET = exports.CLIENT


@pytest.fixture
def home(tmp_path):
    return {"AFIELD_USER_DIR": str(tmp_path / "laptop")}


@pytest.fixture
def ada(site, home):
    """Somebody who has logged in on this machine."""
    site.log_in(environ=home)
    return site.asking("ada")


def personal(asking) -> list[str]:
    return [one.id for one in asking.get(TOKENS, TokenList).tokens if one.kind == "personal"]


class TestCredentials:
    def test_one_token_is_made_for_a_machine_and_used_again(self, site, ada, home):
        made = credentials(site.url, environ=home)
        assert credentials(site.url, environ=home) == made
        [one] = [one for one in ada.get(TOKENS, TokenList).tokens if one.kind == "personal"]
        assert (one.id, sorted(one.scopes)) == (made.client_id, sorted(SCOPES))
        assert one.label.startswith("published packages on ")
        kept = place(site.url, ".json", home)
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600

    def test_whoever_uses_them_is_the_person(self, site, ada, home):
        made = credentials(site.url, environ=home)
        program = Questions(site.url, ClientCredentials(site.url, made.client_id, made.secret), environ={})
        assert program.get(WHOAMI, WhoAmI).identity.username == "ada"
        with pytest.raises(ComputeAPIError, match="Only somebody who has logged in"):
            program.post(TOKENS, {"label": "another"}, dict)

    def test_without_a_login_those_that_are_kept_do(self, site, ada, home):
        made = credentials(site.url, environ=home)
        (place(site.url, "", home).parent.parent / "logins" / place(site.url, ".json", home).name).unlink()
        assert credentials(site.url, environ=home) == made
        with pytest.raises(ConfigurationError, match="run `afield login --service"):
            credentials(site.url, anew=True, environ=home)

    def test_what_they_set_says_nothing_of_who_asks(self, site, ada, home):
        made = credentials(site.url, environ=home)
        again = credentials(site.url, anew=True, environ=home | {ID: made.client_id, SECRET: made.secret})
        assert again.client_id != made.client_id
        assert personal(ada) == [again.client_id]

    def test_what_was_revoked_or_ends_soon_or_is_somebody_elses_is_replaced(self, site, ada, home):
        first = credentials(site.url, environ=home)
        ada.delete(f"{TOKENS}/{first.client_id}")
        second = credentials(site.url, environ=home)
        kept = place(site.url, ".json", home)
        kept.write_bytes(msgspec.json.encode(msgspec.structs.replace(second, expires_at=time.time() + 60)))
        third = credentials(site.url, environ=home)
        assert len({first.client_id, second.client_id, third.client_id}) == 3
        site.account("bob")
        site.log_in("bob", environ=home)
        bobs = credentials(site.url, environ=home)
        assert (third.username, bobs.username) == ("ada", "bob")
        kept.write_text("no JSON")
        assert credentials(site.url, environ=home).username == "bob"

    def test_who_runs_the_service_needs_no_account(self, site, home):
        made = credentials(site.url, environ=home | {"AFIELD_TOKEN": site.running.token})
        assert made.identity_id == site.running.owner.id

    def test_what_cannot_be_kept_is_not_left_at_the_service(self, site, ada, home):
        (place(site.url, "", home).parent).write_text("a file, where a directory should be")
        with pytest.raises(ConfigurationError, match=r"cannot be kept: .*AFIELD_USER_DIR"):
            credentials(site.url, environ=home)
        assert personal(ada) == []

    def test_a_personal_token_in_the_environment_is_taken_itself(self, site, ada, home):
        whole = ada.post(TOKENS, {"label": "x", "scopes": list(SCOPES)}, NewToken)
        narrow = ada.post(TOKENS, {"label": "x"}, NewToken)
        found = credentials(site.url, environ=home | {"AFIELD_TOKEN": whole.token})
        assert (found.client_id, found.secret, found.is_kept) == (whole.about.id, whole.token, False)
        with pytest.raises(ConfigurationError, match="afield token create LABEL --scope openid"):
            credentials(site.url, environ=home | {"AFIELD_TOKEN": narrow.token})
        assert not place(site.url, ".json", home).exists()

    def test_who_is_a_client_stays_that_client(self, site, ada, home):
        made = ada.post(CLIENTS, {"name": "beamline"}, NewClient)
        for names in (("AFIELD_CLIENT_ID", "AFIELD_CLIENT_SECRET"), exports.CLIENT):
            found = credentials(site.url, environ=home | dict(zip(names, (made.client.id, made.secret), strict=True)))
            assert (found.client_id, found.secret) == (made.client.id, made.secret)

    def test_of_several_clients_only_the_one_that_asks_is_shown_to_the_service(self, site, ada, home):
        made = ada.post(CLIENTS, {"name": "beamline"}, NewClient)
        form = {"grant_type": "client_credentials", "client_id": made.client.id, "client_secret": made.secret}
        token = msgspec.json.decode(post_form(f"{site.url}/v2/oauth2/token", form).body)["access_token"]
        another = {ID: "11111111-1111-4111-8111-111111111111", SECRET: "of another service"}
        with pytest.raises(ConfigurationError, match=f"you are the client {made.client.id}"):
            credentials(site.url, environ=home | another | {"AFIELD_TOKEN": token})
        mine = {"FUNCX_SDK_CLIENT_ID": made.client.id, "FUNCX_SDK_CLIENT_SECRET": made.secret}
        found = credentials(site.url, environ=home | another | mine | {"AFIELD_TOKEN": token})
        assert (found.client_id, found.secret) == (made.client.id, made.secret)

    def test_what_stands_for_a_personal_token_is_not_taken_for_it(self, site, ada, home):
        whole = ada.post(TOKENS, {"label": "x", "scopes": list(SCOPES), "lifetime_s": 9_000_000}, NewToken)
        pair = {"AFIELD_CLIENT_ID": whole.about.id, "AFIELD_CLIENT_SECRET": whole.token}
        found = credentials(site.url, environ=home | pair)
        assert (found.client_id, found.secret, found.expires_at) == (
            whole.about.id,
            whole.token,
            whole.about.expires_at,
        )


class TestWritten:
    def test_what_is_set(self):
        said = exports.variables("http://127.0.0.1:5000", ("id", "secret"), None, {})
        assert said == {
            "GLOBUS_SDK_ENVIRONMENT": "local",
            "GLOBUS_SDK_SERVICE_URL_AUTH": "http://127.0.0.1:5000/",
            ID: "id",
            SECRET: "secret",
        }
        assert ID not in exports.variables("http://127.0.0.1:5000", None, None, {})
        own = exports.variables("https://x.example/", None, "/etc/own.pem", {})
        assert own["GLOBUS_SDK_SERVICE_URL_AUTH"] == "https://x.example/"
        assert own["GLOBUS_SDK_VERIFY_SSL"] == own["SSL_CERT_FILE"] == "/etc/own.pem"

    @pytest.mark.parametrize(
        ("environ", "unproxied"),
        [
            ({}, None),
            ({"no_proxy": "x"}, None),
            ({"http_proxy": "http://p:1"}, "localhost,127.0.0.1"),
            ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "x, localhost"}, "x,localhost,127.0.0.1"),
            ({"http_proxy": "http://p:1", "no_proxy": "*"}, None),
            ({"http_proxy": "http://p:1", "no_proxy": "127.0.0.1,localhost"}, None),
        ],
    )
    def test_what_is_for_this_machine_goes_by_no_proxy(self, environ, unproxied):
        assert exports.variables("http://127.0.0.1:5000", None, None, environ).get("no_proxy") == unproxied

    def test_a_shell_reads_back_what_was_meant(self, tmp_path):
        odd = {"A": "plain", "B": "a b", "C": """'"$HOME`x`\\!#;""", "D": "", "E": "ä"}
        file = tmp_path / "odd.env"
        file.write_text(exports.as_file(odd, "odd things"))
        show = f"{sys.executable} -c 'import os, json; print(json.dumps(dict(os.environ)))'"
        for script in (f'set -a; . "{file}"; set +a; {show}', exports.as_exports(odd) + show):
            done = subprocess.run(
                ["sh", "-c", script], capture_output=True, text=True, check=True, env={"LANG": "C.UTF-8"}
            )
            found = json.loads(done.stdout)
            assert {name: found[name] for name in odd} == odd
        with pytest.raises(ConfigurationError, match="no environment file can"):
            exports.as_file({"A": "two\nlines"}, "")

    def test_only_one_address_is_direct(self):
        assert exports.is_direct("http://127.0.0.1:5000")
        assert exports.is_direct("http://localhost:5000/")
        assert not any(map(exports.is_direct, ("http://127.0.0.1:5001", "https://localhost:5000", "http://x:5000")))


@pytest.mark.parametrize("url", ["https://ada:s3cret@compute.example.org", "http://s3cret@[::1]:5000/"])
def test_an_address_holds_no_password_that_would_be_printed_and_sent(url):
    with pytest.raises(ConfigurationError, match="no name or password") as caught:
        checked_url(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:5000/\nexport A=1", "http://127.0.0.1\t:5000", "http://a\x1b[31m"])
def test_an_address_is_what_can_be_seen_of_it(url):
    with pytest.raises(ConfigurationError, match="is not the address of a service"):
        checked_url(url)


class TestCommand:
    def test_a_shell_evaluates_it(self, site, ada, machine, home):
        laptop = machine("laptop")
        command = f'eval "$({sys.executable} -m afield env)"; echo "$GLOBUS_SDK_SERVICE_URL_AUTH ${ID} ${SECRET}"'
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, env=laptop.environ)
        made = credentials(site.url, environ=home)
        assert done.stdout == f"{site.url}/ {made.client_id} {made.secret}\n"
        assert "are ada at" in done.stderr
        assert "They look for it at http://localhost:5000 only: leave `afield forward` running" in done.stderr
        assert made.secret not in done.stderr

        said = json.loads(laptop.run("env", "--json"))
        assert said["needs_forward"]
        assert said["variables"][SECRET] == made.secret
        assert said["token"]["id"] == made.client_id

        its_own = {ID: made.client_id, SECRET: made.secret, "GLOBUS_SDK_ENVIRONMENT": "local"}
        alone = laptop.run("env", "--interactive", **its_own)
        assert alone.startswith(f"unset {ID} {SECRET}\n")
        assert "export GLOBUS_COMPUTE" not in alone
        assert laptop.run("env", "--unset", **its_own) == f"unset GLOBUS_SDK_ENVIRONMENT {ID} {SECRET}\n"
        of_somebody = its_own | {ID: "5b0c6f3e-6c1f-4c39-9d7b-6f8d1b6a3c55"}
        assert laptop.run("env", "--unset", **of_somebody) == "unset GLOBUS_SDK_ENVIRONMENT\n"

    def test_what_makes_no_token_makes_no_new_one(self, machine):
        laptop = machine("laptop")
        command = [sys.executable, "-m", "afield", "env", "--interactive", "--new"]
        done = subprocess.run(command, capture_output=True, text=True, env=laptop.environ)
        assert done.returncode == 2
        assert "--interactive makes no token" in done.stderr

    def test_a_way_on_which_others_can_read_is_told(self, machine):
        laptop = machine("laptop")
        for url, is_bare in (("http://compute.example.org", True), ("https://compute.example.org", False)):
            command = [sys.executable, "-m", "afield", "env", "--interactive", "--service", url]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=laptop.environ)
            assert (f"{url} is not encrypted" in done.stderr) == is_bare

    def test_a_file_is_written_and_no_other_one_lost(self, site, ada, machine, tmp_path):
        laptop = machine("laptop")
        path = laptop.run("env", "--write").strip()
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
        read = subprocess.run(["sh", "-c", f'. "{path}"; echo $GLOBUS_SDK_ENVIRONMENT'], capture_output=True, text=True)
        assert read.stdout == "local\n"
        assert laptop.run("env", "--write").strip() == path
        theirs, circle = tmp_path / "theirs", tmp_path / "circle"
        theirs.write_text("A=1\n")
        circle.symlink_to(circle)
        before = personal(ada)
        refused = laptop.run("env", "--new", "--write", str(theirs), code=1)
        assert "is there already, and not from this command" in refused
        assert theirs.read_text() == "A=1\n"
        assert "leads nowhere" in laptop.run("env", "--new", "--write", str(circle), code=1)
        # What other programs use was not revoked for nothing.
        assert personal(ada) == before
        assert "is no file" in laptop.run("env", "--write", "--force", "/dev/null", code=1)
        laptop.run("env", "--write", "--force", str(theirs))
        assert "GLOBUS_SDK_ENVIRONMENT=local\n" in theirs.read_text()
        assert "goes with --write" in laptop.run("env", str(theirs), code=2)

    def test_who_has_not_logged_in_is_told_how(self, site, machine):
        assert "run `afield login --service" in machine("other").run("env", code=1)


def test_what_is_set_for_one_service_is_not_shown_to_another(site, ada, home):
    made = credentials(site.url, environ=home)
    pair = {ID: made.client_id, SECRET: made.secret}
    assert find(site.url, pair | {"GLOBUS_SDK_SERVICE_URL_AUTH": f"{site.url}/"}) is not None
    assert find(site.url, pair) is not None
    elsewhere = pair | {"GLOBUS_SDK_SERVICE_URL_AUTH": "https://compute.example.org/"}
    assert find(site.url, elsewhere) is None
    for wrong in ("http://x:99999", "http://[", "compute.example.org"):
        with pytest.raises(ValueError, match="GLOBUS_SDK_SERVICE_URL_AUTH does not hold the address of a service"):
            find(site.url, pair | {"GLOBUS_SDK_SERVICE_URL_AUTH": wrong})


def test_port_5000_may_be_anybodys_and_is_not_shown_the_secret(site, ada, home):
    made = credentials(site.url, environ=home)
    environ = {ID: made.client_id, SECRET: made.secret, "GLOBUS_SDK_SERVICE_URL_AUTH": f"{site.url}/"}
    forwarded = find("http://localhost:5000", environ)  # it may be there by `afield forward`
    header = forwarded.get_authorization_header()  # from where the service is itself
    assert made.secret not in header
    asking = Questions(site.url, BearerToken(header.removeprefix("Bearer ")), environ={})
    assert asking.get(WHOAMI, WhoAmI).identity.username == "ada"


def test_tokens_of_others_are_no_credentials(site, ada):
    made = ada.post(TOKENS, {"label": "x"}, NewToken)
    wrong = ClientCredentials(site.url, made.about.id, site.running.token)
    with pytest.raises(ComputeAPIError, match="does not know the client"):
        Questions(site.url, wrong, environ={}).get(WHOAMI, WhoAmI)
    assert Questions(site.url, BearerToken(made.token), environ={}).get(WHOAMI, WhoAmI).token.id == made.about.id
