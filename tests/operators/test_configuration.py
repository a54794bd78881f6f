"""The configuration file: every setting by its name, and what is wrong in it told with its line."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import pytest

from afield.errors import ConfigurationError
from afield.service.configuration import load_settings, read_settings
from afield.service.settings import Limits, Settings, SignIn

FILE = """\
# a lab's service
data_dir = "/srv/afield"
host = "0.0.0.0"
port = 8000
database = "postgresql://afield:${DB_PASSWORD}@db.example.org/afield"
proxies = ["10.0.0.1"]
sign_in.tries_per_name = 3

[limits]
payload_bytes = 5_000_000
start_wait_s = 1.5
"""


def read(text: str, **environ: str) -> dict:
    return read_settings(text, "s.toml", environ)


def refused(text: str, **environ: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        read(text, **environ)
    return str(raised.value)


def test_what_is_said_is_so_and_the_rest_as_always():
    assert Settings(**read(FILE, DB_PASSWORD="p@ss/word")) == Settings(
        data_dir=Path("/srv/afield"),
        host="0.0.0.0",
        port=8000,
        database="postgresql://afield:p%40ss%2Fword@db.example.org/afield",
        proxies=("10.0.0.1",),
        sign_in=SignIn(tries_per_name=3),
        limits=Limits(payload_bytes=5_000_000, start_wait_s=1.5),
    )


def test_every_setting_can_be_said():
    """With its default, as TOML has it; None is what nobody says."""

    def written(record, prefix: str = "") -> list[str]:
        lines = []
        for each in fields(record):
            value = getattr(record, each.name)
            if is_dataclass(value):
                lines += written(value, f"{each.name}.")
            elif value is not None and value not in ({}, ()):
                value = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
                text = json.dumps(value)
                lines.append(f"{prefix}{each.name} = {text}")
        return lines

    plain = Settings(data_dir=Path("/srv"))
    assert Settings(**read("\n".join(written(plain)))) == plain
    assert set(get_type_hints(Settings)) == {each.name for each in fields(Settings)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            'data_dir = "/x"\n[limits]\npayload_byte = 3',
            "line 3: limits.payload_byte is no setting of limits: did you mean payload_bytes?",
        ),
        ("\nprot = 1", "line 2: prot is no setting: did you mean port?"),
        ('data = "/srv"', "line 1: data is no setting: did you mean data_dir?"),  # the option is --data
        ("xyz = 1", "line 1: xyz is no setting: there are amqp_port,"),
        ('[limits]\n\nlock_s = "5"', "line 3: limits.lock_s cannot be '5': Expected `float`, got `str`"),
        ("limits.lock_s = -1", "line 1: limits.lock_s cannot be -1: it is less than nothing"),
        ("limits.lock_s = nan", "line 1: limits.lock_s cannot be nan: write a number"),
        ("port = 70000", "line 1: port cannot be 70000: ports go up to 65535"),
        ("port = true", "line 1: port cannot be True: Expected `int`, got `bool`"),
        ("data_dir = 7", "line 1: data_dir cannot be 7: Expected `str`, got `int`"),
        ('proxies = "10.0.0.1"', "line 1: proxies cannot be '10.0.0.1': Expected `array`, got `str`"),
        ('log_format = "xml"', "line 1: log_format cannot be 'xml': it is one of text, json"),
        ("limits = 3", "line 1: limits is a table: write [limits], and its keys below"),
        ("[limits.more]\nx = 1", "line 1: limits.more is no setting of limits: there are"),
        (
            'database = "postgresql://a:${NOT_SET}@h/d"',
            "line 1: database refers to ${NOT_SET}, and no such environment variable is set",
        ),
        ("port = ", "s.toml is no TOML file: Invalid value (at end of document)"),
        ("port = 1\nport = 2", "s.toml is no TOML file: Cannot overwrite a value"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_with_its_line(text, told):
    assert told in refused(text)


def test_all_mistakes_are_told_at_once():
    text = """\
prot = 1
port = 70000
[limits]
payload_byte = 3
lock_s = "5"
[sign_in]
sesion_s = 1
[providers.my-lab]
isuer = "https://lab.example"
client_id = 7
[providers.other]
name = "x"
"""
    assert refused(text).splitlines() == [
        "s.toml has 8 mistakes:",
        "  s.toml, line 1: prot is no setting: did you mean port?",
        "  s.toml, line 2: port cannot be 70000: ports go up to 65535",
        "  s.toml, line 4: limits.payload_byte is no setting of limits: did you mean payload_bytes?",
        "  s.toml, line 5: limits.lock_s cannot be '5': Expected `float`, got `str`",
        "  s.toml, line 7: sign_in.sesion_s is no setting of sign_in: did you mean session_s?",
        "  s.toml, line 9: providers.my-lab.isuer is no setting of providers.my-lab: did you mean issuer?",
        "  s.toml, line 10: providers.my-lab.client_id cannot be 7: Expected `str`, got `int`",
        "  s.toml, line 12: providers.other.name is what [providers.other] says already: remove this line",
    ]


def test_a_password_is_not_told():
    assert "hunter2" not in refused("database = ['hunter2']")


def test_a_variable_alone_is_taken_as_it_is():
    assert read('public_host = "${HOST}"', HOST="a b/c")["public_host"] == "a b/c"


def test_the_command_line_goes_before_the_file(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text('port = 1\nhost = "a"\ndata_dir = "/x"\n')
    settings = load_settings(path, {"port": 2})
    assert (settings.port, settings.host, settings.data_dir) == (2, "a", Path("/x"))


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "s.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(path, {})


@pytest.mark.e2e
def test_serve_takes_it(start, tmp_path, command):
    path = tmp_path / "service.toml"
    path.write_text(f'data_dir = "{tmp_path}/kept"\nport = 0\namqp_port = 0\n[limits]\nsubmit_tasks = 7\n')
    one = start("--config", path)
    assert one.ready["data_dir"] == f"{tmp_path}/kept"
    with one.sync() as http:
        assert http.get("/v2/version?service=all").json()["limits"]["submit_tasks"] == 7
    path.write_text("prot = 1\n")
    done = command("serve", "--config", path, check=False)
    assert done.returncode == 1
    assert "service.toml, line 1: prot is no setting: did you mean port?" in done.stderr
    assert "Traceback" not in done.stderr
