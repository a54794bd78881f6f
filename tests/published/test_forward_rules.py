"""What `afield forward` lets pass, and what it changes on the way."""

from __future__ import annotations

import pytest

from afield.cli.forward.rules import Way, kept

SERVICE = "https://compute.example.org"
HERE = "http://localhost:5000"


@pytest.fixture
def way():
    return Way(5000, SERVICE)


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000", "[::1]:5000", "LOCALHOST:5000"])
def test_programs_of_this_machine_pass(way, host):
    assert way.refusal(host, None) is None
    assert way.refusal(host, f"http://{host}") is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:5000",
        "localhost",
        "localhost:80",
        "localhost.evil.example:5000",
        "x@localhost:5000",
    ],
)
def test_a_name_that_suddenly_means_this_machine_does_not(way, host):
    assert "this asks for another host" in way.refusal(host, None)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:5001", "http://evil.example:5000", ""]
)
def test_nor_does_a_page_of_another_site(way, origin):
    assert "not for pages of other sites" in way.refusal("localhost:5000", origin)


def test_without_a_port_only_where_that_means_this_one():
    assert Way(80, SERVICE).refusal("localhost", "http://localhost") is None


def test_what_concerns_one_connection_stays_there():
    said = [
        ("Connection", "keep-alive, X-Hop"), ("Keep-Alive", "timeout=5"), ("X-Hop", "1"), ("TE", "trailers"),
        ("Transfer-Encoding", "chunked"), ("Upgrade", "h2c"), ("Proxy-Authorization", "Basic eA=="),
        ("Authorization", "Bearer x"), ("Content-Length", "3"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"),
    ]  # fmt: skip
    assert kept(said) == said[-4:]


def test_places_are_named_as_the_other_side_knows_them(way):
    asked = [("Host", "localhost:5000"), ("Origin", HERE), ("Referer", f"{HERE}/v2/web/login"), ("X", HERE)]
    assert way.onwards(asked) == [("Origin", SERVICE), ("Referer", f"{SERVICE}/v2/web/login"), ("X", HERE)]


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (f"{SERVICE}/login?next=1", "http://127.0.0.1:5000/login?next=1"),
        (SERVICE, "http://127.0.0.1:5000"),
        ("/login", "/login"),
        (f"{SERVICE}.evil.example/", f"{SERVICE}.evil.example/"),
        ("https://elsewhere.example/", "https://elsewhere.example/"),
    ],
)
def test_whoever_is_sent_on_stays_on_this_way(way, said, heard):
    assert way.back([("Location", said)], "127.0.0.1:5000") == [("Location", heard)]
