"""The manager's decisions, as conversations: what happens, and what it does about it."""

from __future__ import annotations

import msgspec
import pytest

from afield.endpoint.manager import commands as do
from afield.endpoint.manager import events as on
from afield.endpoint.manager.accounts import Account, Tenant
from afield.endpoint.manager.core import CANNOT, KILL_AFTER_S, STARTING_S, ManagerCore
from afield.endpoint.manager.runaway import Runaways
from afield.wire.commands import CONTENT_TYPE, StartCommand, StartOptions, encode_command

NOW = 1_800_000_000.0
NAME = "uep.c.u"
#: What has lived so long does not die soon.
LIVES_S = Runaways().soon_s
OWNER = "0192d3a0-0000-7000-8000-0000000000aa"
OTHER = "0192d3a0-0000-7000-8000-0000000000bb"


@pytest.fixture
def creds(parts):
    return parts.credentials_for("memory://x")


@pytest.fixture
def command(creds):
    return StartCommand(StartOptions(NAME, {}, creds), "ada@example.org", OWNER, [{"sub": OWNER}])


@pytest.fixture
def core():
    return ManagerCore(frozenset({OWNER}), grace_period_s=30.0)


def arrived(command, tag=1, now=NOW, **changes):
    given = {"content_type": CONTENT_TYPE, "timestamp": int(now)} | changes
    return on.CommandArrived(tag, encode_command(command), now=now, **given)


def said(commands):
    """Without the lines for the log."""
    return [command for command in commands if not isinstance(command, do.Tell)]


def test_a_command_starts_a_user_endpoint(core, command):
    assert said(core.handle(arrived(command))) == [do.Acknowledge(1), do.Spawn(command)]
    assert core.children == (NAME,)


def test_a_command_for_one_that_runs_brings_fresh_credentials(core, command, parts):
    core.handle(arrived(command))
    fresh = parts.credentials_for("memory://fresh")
    again = msgspec.structs.replace(command, kwargs=msgspec.structs.replace(command.kwargs, amqp_creds=fresh))
    assert core.handle(arrived(again, tag=2)) == [do.Acknowledge(2), do.RefreshCredentials(NAME, fresh)]


@pytest.mark.parametrize("changes", [{"content_type": "text/plain"}, {"content_type": None}, {"timestamp": None}])
def test_what_is_no_command_is_dropped(core, command, changes):
    assert said(core.handle(arrived(command, **changes))) == [do.Acknowledge(1)]
    assert core.children == ()


def test_what_cannot_be_read_is_dropped(core):
    event = on.CommandArrived(1, b'{"command": "cmd_dance"}', CONTENT_TYPE, int(NOW), NOW)
    assert said(core.handle(event)) == [do.Acknowledge(1)]


@pytest.mark.parametrize(("skew", "word"), [(-181, "181 s in the future"), (181, "181 s old")])
def test_a_command_of_another_time_is_reported(core, command, creds, skew, word):
    [acknowledge, report] = said(core.handle(arrived(command, timestamp=int(NOW) - skew)))
    assert acknowledge == do.Acknowledge(1)
    assert report.credentials == creds
    assert word in report.text
    assert core.children == ()


@pytest.mark.parametrize("skew", [-180, 180])
def test_clocks_may_differ_a_little(core, command, skew):
    assert said(core.handle(arrived(command, timestamp=int(NOW) - skew)))[1] == do.Spawn(command)


def test_only_the_owner_is_served(core, command, creds):
    foreign = msgspec.structs.replace(
        command, globus_effective_identity=OTHER, globus_identity_set=[{"sub": OTHER}], globus_username="eve@x.org"
    )
    [_, report] = said(core.handle(arrived(foreign)))
    assert report.credentials == creds
    assert "untrusted identity eve@x.org" in report.text
    linked = msgspec.structs.replace(foreign, globus_identity_set=[{"sub": OTHER}, {"sub": OWNER.upper()}])
    assert said(core.handle(arrived(linked)))[1] == do.Spawn(linked)


def test_whom_the_owner_let_in_is_served_and_nobody_whom_another_did(core, command):
    guest = msgspec.structs.replace(
        command, globus_effective_identity=OTHER, globus_identity_set=[{"sub": OTHER}], shared_by=OWNER.upper()
    )
    assert said(core.handle(arrived(guest)))[1] == do.Spawn(guest)
    by_another = msgspec.structs.replace(
        guest, shared_by=OTHER, kwargs=msgspec.structs.replace(guest.kwargs, name="uep.c.v")
    )
    [_, report] = said(core.handle(arrived(by_another)))
    assert "whom its owner shares it with" in report.text


def test_one_that_ends_by_itself_is_not_started_again(core, command):
    core.handle(arrived(command))
    assert said(core.handle(on.ChildExited(NAME, 0, "", NOW + 31))) == []
    assert core.children == ()


def test_one_that_ends_just_after_a_command_is_started_again_once(core, command):
    core.handle(arrived(command))
    core.handle(arrived(command, tag=2, now=NOW + 1000))
    assert said(core.handle(on.ChildExited(NAME, 0, "", NOW + 1029))) == [do.Spawn(command)]
    assert said(core.handle(on.ChildExited(NAME, 0, "", NOW + 1029.5))) == []


def test_a_new_command_for_a_revived_one_counts(core, command):
    core.handle(arrived(command))
    core.handle(on.ChildExited(NAME, 0, "", NOW + 1))
    core.handle(arrived(command, tag=2, now=NOW + 5))
    assert said(core.handle(on.ChildExited(NAME, 0, "", NOW + 6))) == [do.Spawn(command)]


def test_one_that_ends_badly_at_its_start_did_not_start(core, command, creds):
    core.handle(arrived(command))
    [report] = said(core.handle(on.ChildExited(NAME, 78, "no such module\n", NOW + STARTING_S)))
    assert report.credentials == creds
    assert "exit status 78: no such module" in report.text
    assert core.children == ()


@pytest.mark.parametrize("code", [-9, 1, 70])
def test_one_that_ends_badly_later_is_started_again_each_time(core, command, code):
    core.handle(arrived(command))
    for life in range(1, 4):
        assert said(core.handle(on.ChildExited(NAME, code, "", NOW + life * (LIVES_S + 1)))) == [do.Spawn(command)]
        assert core.children == (NAME,)


def test_one_that_is_killed_at_its_start_gets_one_more_try(core, command, creds):
    core.handle(arrived(command))
    tell, *_, again = core.handle(on.ChildExited(NAME, -9, "", NOW + 1))
    assert "killed by signal 9" in tell.text
    assert again == do.Spawn(command)
    [report] = said(core.handle(on.ChildExited(NAME, -9, "", NOW + 2)))
    assert report.credentials == creds
    assert "killed by signal 9" in report.text
    assert core.children == ()


def test_one_that_dies_again_and_again_is_not_started_any_more(core, command, creds):
    now = NOW
    for _ in range(2):
        core.handle(arrived(command, now=now))
        now += 1
        assert said(core.handle(on.ChildExited(NAME, 1, "no such module", now)))[0].text.endswith("no such module")
    core.handle(arrived(command, now=now))
    [keep, report] = said(core.handle(on.ChildExited(NAME, 1, "no such module", now + 1)))
    assert keep.stopped[NAME].deaths == 3
    assert "died 3 times in a row" in report.text
    [_, report] = said(core.handle(arrived(command, now=now + 2)))
    assert report.credentials == creds
    assert "no such module" in report.text
    assert "afield endpoint clear" in report.text
    assert core.children == ()
    core.handle(on.Cleared())
    assert said(core.handle(arrived(command, now=now + 3)))[1] == do.Spawn(command)


def test_one_that_dies_a_bit_later_each_time_is_not_started_for_ever(core, command):
    core.handle(arrived(command))
    now, starts = NOW, 0
    while core.children:
        now += STARTING_S + 5
        starts += 1
        commands = said(core.handle(on.ChildExited(NAME, -9, "", now)))
    assert starts == 3
    assert "killed by signal 9" in commands[-1].text
    assert said(core.handle(arrived(command, now=now + 1000)))[1] == do.Spawn(command), "once, to try"
    [keep, _] = said(core.handle(on.ChildExited(NAME, 1, "", now + 1001)))
    assert keep.stopped[NAME].deaths == 4


def test_what_cannot_even_be_rendered_never_counts(core, command):
    for _ in range(10):
        assert said(core.handle(arrived(command)))[1] == do.Spawn(command)
        core.handle(on.StartFailed(NAME, "t.j2, line 3: no"))


def test_one_that_finds_out_late_that_it_cannot_work_did_not_start(core, command, creds):
    core.handle(arrived(command))
    [report] = said(core.handle(on.ChildExited(NAME, CANNOT, "an earlier process still runs", NOW + 61)))
    assert "an earlier process still runs" in report.text


def test_one_that_could_not_be_started_is_reported(core, command, creds):
    core.handle(arrived(command))
    assert said(core.handle(on.StartFailed(NAME, "t.j2, line 3: no"))) == [do.ReportFailure(creds, "t.j2, line 3: no")]
    assert said(core.handle(arrived(command, tag=2))) == [do.Acknowledge(2), do.Spawn(command)]


def test_signs_of_life(core):
    assert core.handle(on.HeartbeatDue()) == [], "nobody would hear it"
    assert core.handle(on.ConnectionUp()) == [do.SendHeartbeat()]
    assert core.handle(on.HeartbeatDue()) == [do.SendHeartbeat()]
    core.handle(on.ConnectionDown())
    assert core.handle(on.HeartbeatDue()) == []


def test_a_stop_with_nothing_running(core):
    assert said(core.handle(on.StopRequested("it was told to", 5.0))) == [do.SayGoodbye()]
    assert core.handle(on.HeartbeatDue()) == []
    assert core.handle(on.GoodbyeSaid()) == [do.Exit()]


def test_a_stop_waits_for_user_endpoints(core, command):
    core.handle(arrived(command))
    core.handle(on.ConnectionUp())
    assert said(core.handle(on.StopRequested("it was told to", 5.0))) == [
        do.StopChildren("it was told to", 5.0),
        do.StartGrace(5.0 + KILL_AFTER_S),
    ]
    assert core.handle(on.StopRequested("twice", 5.0)) == []
    assert core.handle(arrived(command, tag=2)) == [], "not acknowledged: it is there for the next start"
    assert core.handle(on.HeartbeatDue()) == [do.SendHeartbeat()]
    assert said(core.handle(on.ChildExited(NAME, 0, "", NOW + 1))) == [do.SayGoodbye()]
    assert core.handle(on.GraceOver()) == []


def test_what_does_not_end_is_killed(core, command, creds):
    core.handle(arrived(command))
    core.handle(on.StopRequested("it was told to", 5.0))
    assert core.handle(on.GraceOver()) == [do.KillChildren()]
    assert said(core.handle(on.ChildExited(NAME, -9, "", NOW + 13))) == [do.ReportGone(creds), do.SayGoodbye()]


ACCOUNT = Account("ada", 1001, 1001, "/home/ada", "/bin/sh")
TENANT = Tenant(ACCOUNT, OTHER)


@pytest.fixture
def mapping():
    """A core whose endpoint serves whomever its rules give an account."""
    return ManagerCore(frozenset({OWNER}), grace_period_s=30.0, maps=True)


def identified(command, tenant=TENANT, why="", now=NOW, **more):
    return on.Identified(command, tenant, why, now, **more)


def test_where_identities_are_mapped_each_command_is_looked_up_and_the_owner_is_nobody_special(mapping, command):
    for tag in (1, 2):
        assert said(mapping.handle(arrived(command, tag=tag))) == [do.Acknowledge(tag), do.Identify(command)]
    assert said(mapping.handle(identified(command))) == [do.Spawn(command, TENANT)]
    assert said(mapping.handle(identified(command))) == [do.RefreshCredentials(NAME, command.kwargs.amqp_creds)]
    assert mapping.handle(on.ChildExited(NAME, -9, "", NOW + STARTING_S + 1))[-1] == do.Spawn(command, TENANT)


def test_an_old_command_is_not_even_looked_up(mapping, command):
    [acknowledge, report] = said(mapping.handle(arrived(command, timestamp=int(NOW) - 181)))
    assert isinstance(acknowledge, do.Acknowledge)
    assert "181 s old" in report.text


def test_who_has_no_account_is_told_and_nothing_starts(mapping, command, creds):
    assert said(mapping.handle(identified(command, None, "no account"))) == [do.ReportFailure(creds, "no account")]
    assert mapping.children == ()


def test_who_lost_an_account_loses_what_runs(mapping, command, creds):
    mapping.handle(identified(command))
    refused = mapping.handle(identified(command, None, "no account any more", lost=True))
    assert said(refused) == [
        do.ReportFailure(creds, "no account any more"),
        do.StopChild(NAME, "no account any more", 0.0),
    ]
    [report] = said(mapping.handle(identified(command)))
    assert "just ending" in report.text
    assert said(mapping.handle(on.ChildExited(NAME, 1, "killed", NOW + 60))) == [do.ReportGone(creds)]
    assert said(mapping.handle(identified(command))) == [do.Spawn(command, TENANT)]


def test_a_directory_service_that_is_away_ends_nothing_that_runs(mapping, command, creds):
    mapping.handle(identified(command))
    assert said(mapping.handle(identified(command, None, "away"))) == [do.ReportFailure(creds, "away")]
    assert mapping.children == (NAME,)


def test_who_is_mapped_to_another_account_does_not_go_on_as_the_old_one(mapping, command):
    mapping.handle(identified(command))
    bob = Tenant(Account("bob", 1002, 1002, "/home/bob", "/bin/sh"), OTHER)
    [stop, report] = said(mapping.handle(identified(command, bob)))
    assert isinstance(stop, do.StopChild)
    assert "now leads to bob" in report.text


def test_nobody_is_started_while_it_stops(mapping, command):
    mapping.handle(on.StopRequested("x", 0.0))
    assert mapping.handle(identified(command)) == []


def numbered(command, number, creds):
    return msgspec.structs.replace(command, kwargs=StartOptions(f"uep.c.{number}", {}, creds))


def test_an_account_has_so_many_user_endpoints_and_no_more(command, creds):
    core = ManagerCore(frozenset({OWNER}), grace_period_s=30.0, maps=True, most=2)
    bob = Tenant(Account("bob", 1002, 1002, "/home/bob", "/bin/sh"), OTHER)
    for number in range(2):
        assert isinstance(core.handle(identified(numbered(command, number, creds)))[-1], do.Spawn)
    [report] = said(core.handle(identified(numbered(command, 2, creds))))
    assert isinstance(report, do.ReportFailure)
    assert "2 user endpoints of ada@example.org run here" in report.text
    assert "user_endpoints_most" in report.text
    assert isinstance(core.handle(identified(numbered(command, 3, creds), bob))[-1], do.Spawn), "others may"
    assert said(core.handle(identified(numbered(command, 0, creds)))) == [do.RefreshCredentials("uep.c.0", creds)]
    core.handle(on.ChildExited("uep.c.0", 0, "", NOW + 100))
    assert isinstance(core.handle(identified(numbered(command, 2, creds)))[-1], do.Spawn)


def test_the_owner_has_as_many_as_they_like(command, creds):
    core = ManagerCore(frozenset({OWNER}), grace_period_s=30.0, most=1)
    for number in range(3):
        assert isinstance(core.handle(arrived(numbered(command, number, creds)))[-1], do.Spawn)
