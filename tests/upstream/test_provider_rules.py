"""What a provider's words mean here, and what one is asked: decisions on their own."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from afield.errors import ConfigurationError
from afield.service.auth.oauth.needs import NOTHING, Needs
from afield.service.auth.upstream.arrival import arrival, check_allowed
from afield.service.auth.upstream.id_token import key_set
from afield.service.auth.upstream.problems import LoginFailed
from afield.service.auth.upstream.providers import completed, is_safe
from afield.service.auth.upstream.question import Asked, Wanted, address, wanted
from afield.service.configuration import read_settings
from afield.service.domain.people import PolicyRecord
from afield.service.settings import ProviderSettings

ISSUER = "https://kc.example.org/realms/lab"


def settings(**more):
    return ProviderSettings(**({"name": "lab", "client_id": "x", "issuer": ISSUER} | more))


@pytest.mark.parametrize(
    ("more", "claims", "username"),
    [
        ({}, {"preferred_username": "ada"}, "ada@kc.example.org"),
        ({}, {}, "7@kc.example.org"),
        ({}, {"preferred_username": "  "}, "7@kc.example.org"),
        # Whatever people call themselves there, the domain is the provider's.
        ({}, {"preferred_username": "ada@bank.example"}, "ada@bank.example@kc.example.org"),
        ({}, {"eppn": "ada@bank.example", "preferred_username": "ada"}, "ada@kc.example.org"),
        ({"username_domain": "lab.example.org"}, {"preferred_username": "ada"}, "ada@lab.example.org"),
        ({"username_claim": "eppn"}, {"eppn": "ada@uni.example"}, "ada@uni.example"),
        ({"username_claim": "eppn"}, {"eppn": "ada"}, "7@kc.example.org"),
        ({"username_claim": "eppn"}, {"eppn": "a@b@c"}, "7@kc.example.org"),
        ({"username_claim": "email"}, {"email": "ada@uni.example", "email_verified": True}, "ada@uni.example"),
        ({"username_claim": "email"}, {"email": "ada@uni.example", "email_verified": "true"}, "7@kc.example.org"),
        ({"username_claim": "email"}, {"email": "ada@uni.example"}, "7@kc.example.org"),
        ({}, {"preferred_username": "a" * 500}, "a" * 136 + "@kc.example.org"),
        ({}, {"preferred_username": "a\ud800\0 b"}, "ab@kc.example.org"),
    ],
)
def test_usernames(more, claims, username):
    assert arrival(settings(**more), claims, "7", 1.0).username == username


def test_who_somebody_is_else():
    claims = {"name": ["Ada"], "email": 3, "organization": "Lab", "amr": "mfa"}
    one = arrival(settings(), claims, "7", 1.0)
    assert (one.name, one.email, one.organization, one.mfa) == ("7@kc.example.org", "", "Lab", True)
    assert not arrival(settings(mfa_amr=()), claims, "7", 1.0).mfa
    assert not arrival(settings(), {"acr": ["https://refeds.org/profile/mfa"]}, "7", 1.0).mfa


LAB = {"allowed_domains": ("lab.example.org", "*.uni.example")}


@pytest.mark.parametrize(
    ("more", "claims", "may_come"),
    [
        ({}, {}, True),
        (LAB, {}, False),
        (LAB, {"email": "ada@lab.example.org", "email_verified": True}, True),
        (LAB, {"email": "ada@lab.example.org"}, False),
        (LAB, {"email": "ada@lab.example.org", "email_verified": "true"}, False),
        (LAB, {"email": "ada@evil-lab.example.org", "email_verified": True}, False),
        (LAB, {"eppn": "ada@physics.UNI.example"}, True),
        (LAB, {"eppn": "ada@uni.example"}, False),
        (LAB, {"hd": "lab.example.org"}, True),
        (LAB, {"preferred_username": "ada@lab.example.org"}, False),
        ({"require": {"groups": ("hpc",)}}, {"groups": ["x", "hpc"]}, True),
        ({"require": {"groups": ("hpc",)}}, {"groups": "hpc"}, True),
        ({"require": {"groups": ("hpc",)}}, {"groups": [["hpc"]]}, False),
        ({"require": {"groups": ("hpc",)}}, {}, False),
        ({"require": {"groups": ("hpc",), "idp": ("a", "b")}}, {"groups": ["hpc"], "idp": "b"}, True),
        ({"require": {"groups": ("hpc",), "idp": ("a", "b")}}, {"groups": ["hpc"]}, False),
    ],
)
def test_who_may_come(more, claims, may_come):
    if may_come:
        check_allowed(settings(**more), claims, "Lab")
        return
    with pytest.raises(LoginFailed, match=r"Log in with another account, or ask whoever runs this service\.") as caught:
        check_allowed(settings(**more), claims, "Lab")
    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("needs", "session_s", "want"),
    [
        (NOTHING, None, Wanted()),
        (Needs(mfa=True), None, Wanted(mfa=True)),
        (Needs(since=90.0), None, Wanted(since=90.0, age=10)),
        (Needs(since=101.0), None, Wanted(since=101.0, age=0)),
        (NOTHING, 600.0, Wanted(age=600, mfa=True)),
        (Needs(since=90.0), 600.0, Wanted(since=90.0, age=10, mfa=True)),
    ],
)
def test_what_a_login_has_to_be_like(needs, session_s, want):
    policies = [] if session_s is None else [PolicyRecord("p", "o", "P", 1.0, session_s=session_s, mfa_required=True)]
    assert wanted(needs, policies, 100.0) == want


def test_where_a_browser_is_sent():
    asked = Asked("lab", "https://here/login/lab/callback", "n", "v" * 64, "b", "e")
    one = settings(scopes=("openid",))
    url = address(one, "https://kc.example.org/auth?tenant=1", asked, "st", Wanted())
    said = {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}
    assert said.pop("code_challenge")
    assert said == {
        "tenant": "1", "response_type": "code", "client_id": "x", "scope": "openid", "state": "st", "nonce": "n",
        "redirect_uri": "https://here/login/lab/callback", "code_challenge_method": "S256", "max_age": "31536000",
    }  # fmt: skip


def test_keys_that_verify_nothing_are_left_out():
    rsa = {"kty": "RSA", "n": "AQAB", "e": "AQAB", "use": "enc"}
    assert key_set({"keys": [rsa, {"kty": "oct", "k": "AA"}, {"kty": "new"}, "x", {"kty": "EC", "crv": "P-256"}]}) == ()
    assert key_set([]) is None
    assert key_set({}) is None


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://a.example", True),
        ("http://127.0.0.1:8080/x", True),
        ("http://[::1]/", True),
        ("http://a.example", False),
        ("http://localhost.example", False),
        ("https://", False),
        ("", False),
        ("https://[x", False),
        ("javascript:alert(1)", False),
    ],
)
def test_addresses_on_which_nobody_reads_along(url, safe):
    assert is_safe(url) is safe


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": "A b"}, "has a name that cannot stand in an address"),
        ({"issuer": ""}, "has the issuer ''"),
        ({"issuer": "http://kc.example.org"}, "has the issuer 'http://kc.example.org'"),
        ({"client_id": ""}, "has no client_id"),
        ({"kind": "oauth2"}, "needs authorization_url, with https://"),
        ({"algorithms": ("HS256",)}, "may sign with HS256: algorithms are some of RS256"),
        ({"algorithms": ("none",)}, "may sign with none"),
        ({"algorithms": ()}, "may sign with nothing"),
        ({"allowed_domains": ("@x",)}, "names the domain '@x'"),
        ({"timeout_s": 0.0}, "has no time to answer"),
    ],
)
def test_what_cannot_work_is_told_at_the_start(more, words):
    with pytest.raises(ConfigurationError) as caught:
        completed([settings(**more)])
    assert words in str(caught.value)


def test_two_of_one_name():
    with pytest.raises(ConfigurationError, match="is there twice"):
        completed([settings(), settings()])


def test_githubs_addresses_are_known():
    one = completed([ProviderSettings(name="github", kind="github", client_id="x")])["github"]
    assert (one.title, one.issuer, one.userinfo_url) == ("GitHub", "https://github.com", "https://api.github.com/user")


def test_providers_in_the_configuration_file():
    text = """
    [providers.lab]
    title = "The lab"
    issuer = "https://kc.example.org/realms/lab"
    client_id = "afield"
    client_secret = "${LAB_SECRET}"
    allowed_domains = ["lab.example.org"]
    require = { groups = ["hpc"] }

    [providers.github]
    kind = "github"
    client_id = "Iv1.abc"
    """
    lab, github = read_settings(text, "afield.toml", {"LAB_SECRET": "s"})["providers"]
    assert (lab.name, lab.client_secret, lab.require) == ("lab", "s", {"groups": ("hpc",)})
    assert github.kind == "github"
    assert "client_secret" not in repr(lab)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("providers = 3", "line 1: providers consists of tables: write [providers.NAME]"),
        ("[providers]\nlab = 3", "line 1: providers consists of tables"),
        ('[providers.lab]\nissuer = "x"', "line 1: providers.lab lacks client_id: write it below [providers.lab]"),
        ('[providers.lab]\nclient_id = "x"\nname = "y"', "line 3: providers.lab.name is what [providers.lab] says"),
        ('[providers.lab]\nclient_id = "x"\nisuer = "y"', "line 3: providers.lab.isuer is no setting of providers.lab"),
        ('[providers.lab]\nclient_id = "x"\nkind = "saml"', "line 3: providers.lab.kind cannot be 'saml'"),
        ('[providers.lab]\nclient_id = "x"\nrequire = ["a"]', "line 3: providers.lab.require cannot be"),
        ('[providers.lab]\nclient_id = "x"\nclient_secret = 12345', "client_secret cannot be what it is"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_line(text, words):
    with pytest.raises(ConfigurationError) as caught:
        read_settings(text, "afield.toml", {})
    assert words in str(caught.value)
    assert "12345" not in str(caught.value)


def test_the_examples_of_the_page_for_operators_work():
    page = Path(__file__).parents[2] / "docs" / "howto" / "operator" / "providers.md"
    text = "\n".join(re.findall(r"^```toml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL))
    variables = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "x")
    found = completed(read_settings(text, "afield.toml", variables)["providers"])
    assert set(found) == {"lab", "cilogon", "globus", "github"}
