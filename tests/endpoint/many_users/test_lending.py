"""To whom a machine is lent, for what, when, and how much of it."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afield.endpoint.engines.lending import Lent, Use, closed
from afield.endpoint.engines.lent import LentEngine
from afield.endpoint.engines.usage import Usage
from afield.endpoint.manager import commands as do
from afield.endpoint.manager import events as on
from afield.endpoint.manager.core import ManagerCore
from afield.endpoint.manager.lending import Lending, engine_refusal, rules_for_tasks
from afield.endpoint.settings import (
    ExecutorSettings,
    HtexSettings,
    LendingSettings,
    MpiSettings,
    ProcessPoolSettings,
    ThreadPoolSettings,
)
from afield.endpoint.settings.hours import covered, next_opening, windows
from afield.errors import ConfigurationError
from afield.wire.commands import CONTENT_TYPE, StartCommand, StartOptions, encode_command
from afield.wire.jobs import JOB_VERSION, Job

ADA = "0192d3a0-0000-7000-8000-0000000000aa"
BOB = "0192d3a0-0000-7000-8000-0000000000bb"
TEAM = "0192d3a0-0000-7000-8000-0000000000cc"
#: A Monday.
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def at(day, time):
    """``mon 12:00`` of that week."""
    hour, minute = map(int, time.split(":"))
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    return NOON.replace(hour=hour, minute=minute) + timedelta(days=days.index(day))


# --- hours


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("mon-fri 18:00-08:00", [("mon", "18:00"), ("tue", "07:59"), ("sat", "03:00")],
         [("mon", "07:59"), ("mon", "17:59"), ("tue", "08:00"), ("sat", "18:00"), ("sun", "03:00")]),
        ("sat,sun 00:00-24:00", [("sat", "00:00"), ("sun", "23:59")], [("fri", "23:59"), ("mon", "00:00")]),
        ("09:00-17:30", [("wed", "09:00"), ("sun", "17:29")], [("wed", "08:59"), ("wed", "17:30")]),
        ("FRI-MON 22:00-23:00", [("sun", "22:30"), ("mon", "22:00")], [("tue", "22:30"), ("thu", "22:30")]),
        ("sun 20:00-06:00", [("sun", "20:00"), ("mon", "05:59")], [("mon", "06:00"), ("sun", "05:00")]),
        ("mon 08:00-08:00", [("mon", "08:00"), ("tue", "07:59")], [("tue", "08:00"), ("mon", "07:59")]),
    ],
)  # fmt: skip
def test_hours_are_as_they_are_written(text, inside, outside):
    hours = windows([text])
    assert [moment for moment in inside if not covered(hours, at(*moment))] == []
    assert [moment for moment in outside if covered(hours, at(*moment))] == []


@given(
    st.lists(st.sampled_from(["mon-fri 18:00-08:00", "sat 10:00-12:00", "03:00-03:01"]), min_size=1),
    st.integers(0, 10_079),
)
def test_the_next_opening_is_open_and_nothing_before_it(texts, minute):
    hours, moment = windows(texts), NOON + timedelta(minutes=minute)
    if covered(hours, moment):
        return
    opening = next_opening(hours, moment)
    assert covered(hours, opening)
    assert not covered(hours, opening - timedelta(minutes=1))


def test_who_comes_too_early_is_told_when_to_come():
    settings = LendingSettings(hours=("mon-fri 18:00-08:00",), time_zone="Europe/Berlin")
    why = closed(settings, NOON.astimezone(ZoneInfo("Europe/Berlin")))
    assert "mon-fri 18:00-08:00, time zone Europe/Berlin" in why
    assert "submit again from Monday 18:00" in why
    assert closed(settings, at("mon", "17:00").astimezone(ZoneInfo("Europe/Berlin"))) is None, "18:00 in Berlin"


# --- people


def command(parts, who=BOB, username="bob@example.org", linked=(), **more):
    identities = [{"sub": who, "username": username}, *linked]
    options = StartOptions("uep.c.u", {}, parts.credentials_for("memory://x"))
    return StartCommand(options, username, who, identities, **more)


@pytest.mark.parametrize(
    ("rules", "said", "lent"),
    [
        ({}, {}, True),
        ({"people": (BOB.upper(),)}, {}, True),
        ({"people": ("Bob@Example.org",)}, {}, True),
        ({"people": ("ada@example.org",)}, {}, False),
        ({"people": (ADA,)}, {"linked": [{"sub": ADA, "username": "x"}]}, True),
        ({"people": (ADA,)}, {"linked": [{"id": ADA, "name": ADA, "email": ADA}]}, False),
        ({"groups": (TEAM,)}, {}, False),
        ({"groups": (TEAM,)}, {"groups": [TEAM]}, True),
        ({"groups": (TEAM,)}, {"groups": [ADA]}, False),
        ({"groups": (TEAM,), "people": (BOB,)}, {}, True),
    ],
)
def test_people_and_groups(parts, rules, said, lent):
    why = Lending(LendingSettings(**rules)).refusal(command(parts, **said), NOON.timestamp())
    assert (why is None) is lent
    assert why is None or "does not lend it to bob@example.org" in why


def test_the_manager_asks_the_rules_and_the_owner_needs_none(parts):
    rules = Lending(LendingSettings(people=("nobody",), hours=("03:00-04:00",), time_zone="UTC"))
    core = ManagerCore(frozenset({ADA}), 30.0, lending=rules)

    def said(given):
        event = on.CommandArrived(1, encode_command(given), CONTENT_TYPE, int(NOON.timestamp()), NOON.timestamp())
        return [one for one in core.handle(event) if not isinstance(one, do.Tell | do.Acknowledge)]

    [report] = said(command(parts, shared_by=ADA))
    assert "does not lend it to bob@example.org" in report.text
    assert core.children == ()
    mine = command(parts, who=ADA, username="ada@example.org")
    assert said(mine) == [do.Spawn(mine)]


def test_a_time_zone_that_nobody_knows_is_told():
    with pytest.raises(ConfigurationError, match=r"lending\.time_zone is Europe/Berlim"):
        Lending(LendingSettings(time_zone="Europe/Berlim"))
    with pytest.raises(ConfigurationError, match="time_zone"):
        Lending(LendingSettings(time_zone="../../etc/passwd"))


# --- engines


@pytest.mark.parametrize(
    ("engine", "limits", "told"),
    [
        (ProcessPoolSettings(max_workers=4), {"max_workers": 4}, None),
        (ProcessPoolSettings(max_workers=5), {"max_workers": 4}, "5 workers, and the owner"),
        (ProcessPoolSettings(), {"max_workers": 4}, "8 workers"),
        (ThreadPoolSettings(), {"max_workers": 8}, None),
        (ExecutorSettings(executor="a:b"), {"max_workers": 8}, "as many workers as there is room for"),
        (HtexSettings(max_workers_per_node=2), {"max_workers": 2}, None),
        (HtexSettings(), {"max_workers": 64}, "as many workers as there is room for"),
        (
            HtexSettings(max_workers_per_node=2, provider={"max_blocks": 3, "nodes_per_block": 2}),
            {"max_workers": 11},
            "12 workers",
        ),
        (MpiSettings(max_workers_per_block=2, provider={"max_blocks": 3}), {"max_workers": 5}, "6 workers"),
        (HtexSettings(mem_per_worker=3.0), {"max_memory_gb": 4.0}, None),
        (HtexSettings(mem_per_worker=5.0), {"max_memory_gb": 4.0}, "5 GB a worker"),
        (HtexSettings(), {"max_memory_gb": 4.0}, "without a bound of memory"),
        (HtexSettings(provider={"walltime": "01:00:00"}), {"max_walltime": "01:00:00"}, None),
        (HtexSettings(provider={"walltime": "01:00:01"}), {"max_walltime": "01:00:00"}, "blocks of 01:00:01"),
        (HtexSettings(provider={"walltime": "2-00:00:00"}), {"max_walltime": "01:00:00"}, "without a walltime"),
        (HtexSettings(), {"max_walltime": "01:00:00"}, "without a walltime"),
    ],
)
def test_what_a_template_may_ask_for(engine, limits, told):
    why = engine_refusal(LendingSettings(**limits), engine, processors=8)
    assert (why is None) is (told is None)
    if told:
        assert told in why
        assert f"lending.{next(iter(limits))}" in why


# --- single tasks


def test_rules_for_tasks_are_sent_only_where_there_are_some():
    assert rules_for_tasks(LendingSettings(people=("x",), max_workers=3)) is None
    for rule in (
        {"tasks_per_day": 0},
        {"cpu_hours_per_day": 1.0},
        {"hours": ("01:00-02:00",)},
        {"function_digests": ()},
    ):
        assert rules_for_tasks(LendingSettings(**rule)) == LendingSettings(**rule)


def test_a_day_has_its_measure():
    lent = Lent(LendingSettings(tasks_per_day=10, cpu_hours_per_day=2.0))
    assert lent.refusal(NOON, Use(9, 7199.0)) is None
    assert "begin 10 tasks a day, and today 10" in lent.refusal(NOON, Use(10, 0.0))
    assert "2 processor-hours a day, and yours have used 2.5" in lent.refusal(NOON, Use(0, 9000.0))


def test_only_certain_code_runs_and_its_digest_is_told():
    lent = Lent(LendingSettings(function_digests=("a" * 64,)))
    assert lent.refusal(NOON, Use(), "a" * 64) is None
    assert f"add the digest {'b' * 64}" in lent.refusal(NOON, Use(), "b" * 64)


def test_use_is_kept_for_a_day_and_shared(tmp_path):
    one, other = Usage(tmp_path / "usage", "ep.ada"), Usage(tmp_path / "usage", "ep.ada")
    today = NOON.date()
    assert one.of(today) == Use()
    one.note(today, tasks=1, core_s=0.5)
    other.note(today, tasks=2)
    assert one.of(today) == other.of(today) == Use(3, 0.5)
    one.close()
    assert Usage(tmp_path / "usage", "ep.ada").of(today) == Use(3, 0.5), "a later process"
    assert Usage(tmp_path / "usage", "ep.bob").of(today) == Use(), "another person"
    tomorrow = today + timedelta(days=1)
    assert other.of(tomorrow) == Use()
    assert sorted(file.name for file in (tmp_path / "usage").iterdir()) == [f"ep.ada.{tomorrow}", f"ep.bob.{today}"]
    other.close()


def test_half_a_record_at_the_end_is_waited_for(tmp_path):
    usage = Usage(tmp_path, "ada")
    usage.note(NOON.date(), tasks=5)
    file = tmp_path / f"ada.{NOON.date()}"
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:7])
    assert usage.of(NOON.date()) == Use(5)
    file.write_bytes(whole + whole)
    assert usage.of(NOON.date()) == Use(10)
    usage.close()


class Clock:
    def __init__(self):
        self.now = NOON.timestamp()

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lend(parts, tmp_path, clock):
    """A lent engine over a fake one."""
    made = []

    def make(inner, **rules):
        usage = Usage(tmp_path / "usage", "ep.ada")
        made.append(usage)
        return LentEngine(inner, LendingSettings(time_zone="UTC", **rules), usage, clock)

    yield make
    for usage in made:
        usage.close()


def job(name, cores=1, code=b"code"):
    return Job(JOB_VERSION, name, hashlib.blake2b(code, digest_size=16).digest(), code, b"", cores=cores)


@pytest.mark.anyio
async def test_the_counters_survive_the_engine(parts, lend):
    for number in range(3):
        inner = parts.FakeEngine()
        engine = lend(inner, tasks_per_day=3)
        engine.submit(job(f"t{number}"))
        assert inner.ran == [f"t{number}"]
    with pytest.raises(ConfigurationError, match="begin 3 tasks a day"):
        engine.submit(job("t4"))
    assert inner.ran == ["t2"]


@pytest.mark.anyio
async def test_processor_hours_count_cores_and_what_still_runs(parts, lend, clock):
    inner = parts.FakeEngine()
    engine = lend(inner, cpu_hours_per_day=1.0)
    long = engine.submit(job("long", cores=2))
    inner.begin("long")
    clock.now += 1799
    engine.submit(job("still"))
    clock.now += 2
    with pytest.raises(ConfigurationError, match=r"1 processor-hours a day, and yours have used 1\.0"):
        engine.submit(job("late"))
    inner.fail("long", RuntimeError("it died"))
    await asyncio.wait([long])
    await asyncio.sleep(0)
    with pytest.raises(ConfigurationError, match="processor-hours"):
        engine.submit(job("later"))
    clock.now += 86_400
    engine.submit(job("tomorrow"))


@pytest.mark.anyio
async def test_hours_close_while_it_runs(parts, lend, clock):
    inner = parts.FakeEngine()
    engine = lend(inner, hours=("09:00-13:00",))
    engine.submit(job("a"))
    clock.now += 3600
    with pytest.raises(ConfigurationError, match="submit again from Tuesday 09:00"):
        engine.submit(job("b"))
    assert list(inner.futures) == ["a"], "what has begun goes on"


@pytest.mark.anyio
async def test_code_is_known_by_its_digest(parts, lend):
    inner = parts.FakeEngine()
    engine = lend(inner, function_digests=(hashlib.sha256(b"code").hexdigest(),))
    engine.submit(job("a"))
    with pytest.raises(ConfigurationError, match=hashlib.sha256(b"evil").hexdigest()):
        engine.submit(job("b", code=b"evil"))
    assert inner.ran == ["a"]


@pytest.mark.anyio
async def test_a_disk_that_does_not_count_lends_nothing(parts, lend, tmp_path):
    (tmp_path / "usage").write_text("a file where a directory should be")
    with pytest.raises(ConfigurationError, match="cannot be kept on its disk"):
        lend(parts.FakeEngine(), tasks_per_day=3).submit(job("a"))


def test_groups_travel_only_where_they_were_asked_about(parts):
    assert b"groups" not in encode_command(command(parts))
    assert msgspec.json.decode(encode_command(command(parts, groups=[])))["groups"] == []
