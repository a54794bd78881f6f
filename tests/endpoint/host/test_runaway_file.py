"""What is stopped stays so over a restart, until the owner removes the file."""

from __future__ import annotations

import os

import pytest
import typer
from typer.testing import CliRunner

from afield.endpoint.breaker import Open
from afield.endpoint.cli.clear import clear
from afield.endpoint.host.directory import EndpointDirectory
from afield.endpoint.host.runaway import BLOCKS, RUNAWAY_FILE, RunawayFile

STOPPED = {BLOCKS: Open(deaths=3, why='in the phase "import": …\nNo module named parsl', since=1.5, until=601.5)}


def test_it_outlives_its_writer(tmp_path):
    RunawayFile(tmp_path).keep(STOPPED)
    assert RunawayFile(tmp_path).load() == STOPPED


def test_the_ends_of_peoples_logs_are_nobody_elses_business(tmp_path):
    before = os.umask(0o022)
    try:
        RunawayFile(tmp_path).keep(STOPPED)
    finally:
        os.umask(before)
    assert oct((tmp_path / RUNAWAY_FILE).stat().st_mode)[-3:] == "600"


def test_there_is_no_file_while_all_is_well(tmp_path):
    file = RunawayFile(tmp_path)
    assert file.load() == {}
    file.keep(STOPPED)
    file.keep({})
    assert not list(tmp_path.iterdir())
    assert not file.was_cleared(), "its writer did that, nobody else"


def test_its_writer_notices_that_it_was_cleared(tmp_path):
    file = RunawayFile(tmp_path)
    file.keep(STOPPED)
    assert not file.was_cleared()
    assert RunawayFile(tmp_path).clear() == STOPPED
    assert file.was_cleared()
    assert not file.was_cleared(), "once"


@pytest.mark.parametrize("text", ["{", "[]", '{"blocks": {"deaths": 3}}', "x" * 2_000_000])
def test_what_cannot_be_read_stops_nothing(tmp_path, text):
    (tmp_path / RUNAWAY_FILE).write_text(text)
    assert RunawayFile(tmp_path).load() == {}
    RunawayFile(tmp_path).clear()
    assert not list(tmp_path.iterdir())


def test_no_trap_in_somebody_elses_directory_holds_the_owner_up(tmp_path):
    os.mkfifo(tmp_path / RUNAWAY_FILE)
    assert RunawayFile(tmp_path).clear() == {}
    secret = tmp_path / "secret"
    secret.write_text("{}")
    (tmp_path / RUNAWAY_FILE).symlink_to(secret)
    assert RunawayFile(tmp_path).clear() == {}
    assert secret.exists()


def test_a_disk_that_takes_nothing_does_not_look_like_somebody_who_clears(tmp_path, caplog):
    file = RunawayFile(tmp_path / "away")
    file.keep(STOPPED)
    assert not file.was_cleared()
    assert "cannot be written" in caplog.text


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("AFIELD_USER_DIR", str(tmp_path))
    app = typer.Typer()
    app.command()(clear)
    place = EndpointDirectory("mine", tmp_path / "endpoints" / "mine")
    (place.path / "uep.c.u").mkdir(parents=True)
    return place, lambda *words: CliRunner().invoke(app, words)


def test_the_command_clears_all_that_an_endpoint_stopped(run):
    place, command = run
    RunawayFile(place.path).keep({"uep.c.u": STOPPED[BLOCKS]})
    RunawayFile(place.path / "uep.c.u").keep(STOPPED)
    said = command("mine")
    assert said.exit_code == 0
    assert said.output.splitlines() == [
        'Cleared: user endpoint uep.c.u, stopped after 3 deaths in a row: in the phase "import": …',
        'Cleared: the blocks of uep.c.u, stopped after 3 deaths in a row: in the phase "import": …',
    ]
    assert command("mine").output == "The endpoint mine has stopped nothing: there is nothing to clear.\n"
