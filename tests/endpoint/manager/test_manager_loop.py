"""A manager with real queues and real user endpoints."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from contextlib import asynccontextmanager, suppress

import psutil
import pytest

from afield.broker.amqp import AmqpConnector
from afield.endpoint.host.defaults import write_defaults
from afield.endpoint.host.directory import EndpointDirectory
from afield.endpoint.host.registration import Registered
from afield.endpoint.host.runaway import RunawayFile
from afield.endpoint.manager import loop
from afield.endpoint.manager.loop import Manager
from afield.endpoint.manager.owner import read_settings
from afield.endpoint.manager.spawn import COMMAND, UserProcess
from afield.errors import BrokerRefused
from afield.sdk.login.client_credentials import PAIRS
from afield.wire.commands import ReadQueue, StartCommand, StartOptions, user_endpoint_name
from afield.wire.rest import EndpointRegistered

pytestmark = pytest.mark.anyio

CEP = "0192d3a0-0000-7000-8000-00000000000c"
OWNER = "0192d3a0-0000-7000-8000-0000000000aa"

SQUARE = "def f(x):\n    return x * x"


@pytest.fixture
def mine(tmp_path):
    directory = EndpointDirectory("mine", tmp_path / "mine")
    write_defaults(directory, display_name=None, service_url=None)
    return directory


@pytest.fixture
def started():
    """Asks which processes the test itself has started; other tests may have left some of theirs running."""
    before = psutil.Process().children()
    return lambda: [child for child in psutil.Process().children() if child not in before]


@pytest.fixture
def running(mine, parts):
    """Run a manager in the background; leaving stops it, and nothing of it is left."""

    @asynccontextmanager
    async def run(service, command=COMMAND, ends=KeyError):
        url = service.credentials.task_queue_info.connection_url.replace(f"uep.{parts.UEP}.1", "cep.1")
        await service.command_queue(CEP)
        beats = parts.credentials_for(url, CEP).heartbeat_queue_info
        queues = EndpointRegistered(CEP, ReadQueue(url, "commands", f"{CEP}.commands"), beats, beats)
        registered = Registered(CEP, queues, frozenset({OWNER}))
        settings, _ = read_settings(mine)
        manager = Manager(mine, settings, registered, AmqpConnector(), command=command)
        stop = asyncio.Event()
        manager.stop = stop
        manager.work = asyncio.create_task(manager.run(stop))
        try:
            async with asyncio.timeout(parts.PATIENCE_S):
                await manager.ready.wait()
                yield manager
                stop.set()
                with suppress(ends):
                    await manager.work
        finally:
            manager.work.cancel()
            await asyncio.wait([manager.work])

    return run


def start(service, **options):
    credentials = service.credentials
    name = user_endpoint_name(CEP, credentials.endpoint_id)
    return StartCommand(StartOptions(name, options, credentials), "ada@example.org", OWNER, [{"sub": OWNER}])


async def test_a_command_leads_to_a_result(running, mine, parts, started):
    async with parts.over_sockets() as service, running(service):
        assert service.said_by(CEP) == [{"heartbeat_period": 30.0}]
        await service.command(CEP, start(service, max_workers=1))
        await service.until(lambda: service.said_by(parts.UEP))
        [state] = service.said_by(parts.UEP)
        assert state["active"] is True
        assert state["hostname"] == os.uname().nodename
        assert state["endpoint_id"] == CEP
        await service.send(parts.call("t", SQUARE, 7))
        await service.until(lambda: "t" in service.results)
        assert parts.value(service.results["t"]) == 49
        family = [each for child in started() for each in (child, *child.children(recursive=True))]
    assert service.said_by(parts.UEP)[-1]["active"] is False
    assert service.said_by(CEP)[-1] == {"heartbeat_period": 0}
    assert psutil.wait_procs(family, timeout=parts.PATIENCE_S)[1] == []
    assert (mine.path / user_endpoint_name(CEP, parts.UEP) / "begun").exists()


async def test_a_running_one_gets_fresh_credentials(running, parts):
    async with parts.over_sockets() as service, running(service):
        await service.command(CEP, start(service))
        await service.until(lambda: service.said_by(parts.UEP))
        old = service.credentials.task_queue_info.connection_url
        service.credentials = parts.credentials_for(old.replace(f"uep.{parts.UEP}.1", f"uep.{parts.UEP}.2"))
        await service.command(CEP, start(service))
        await service.until_taken(CEP)
        service.refused.add(f"uep.{parts.UEP}.1")
        await service.broker.drop(f"uep.{parts.UEP}.1")
        await service.until(lambda: len(service.said_by(parts.UEP)) == 2)
        assert service.said_by(parts.UEP)[-1]["active"] is True


async def test_options_that_do_not_fit_are_reported(running, parts):
    async with parts.over_sockets() as service, running(service):
        await service.command(CEP, start(service, max_workers="many"))
        await service.until(lambda: service.said_by(parts.UEP))
        [state] = service.said_by(parts.UEP)
        assert "the option max_workers does not fit this endpoint: 'many' is not of type 'integer'" in state["error"]
        assert state["heartbeat_period"] == 3


async def test_a_template_that_is_broken_is_reported_with_its_line(running, mine, parts):
    async with parts.over_sockets() as service, running(service):
        mine.template.write_text("engine:\n  type: ThreadPoolEngine\n  max_wrokers: 3\n")
        await service.command(CEP, start(service))
        await service.until(lambda: service.said_by(parts.UEP))
        told = service.said_by(parts.UEP)[0]["error"]
        assert "line 3 (rendered line 3, 'max_wrokers: 3'): nobody knows the key engine.max_wrokers" in told
        assert "did you mean max_workers?" in told
        mine.template.write_text("engine:\n  type: ThreadPoolEngine\n")
        await service.command(CEP, start(service))
        await service.until(lambda: len(service.said_by(parts.UEP)) == 2)
        assert service.said_by(parts.UEP)[1]["engine_type"] == "ThreadPoolEngine"


async def test_one_that_ends_at_its_start_is_reported_with_its_words(running, mine, parts):
    mine.template.write_text("endpoint_setup: |\n  echo the licence server is away >&2\n  exit 4\n")
    async with parts.over_sockets() as service, running(service):
        await service.command(CEP, start(service))
        await service.until(lambda: service.said_by(parts.UEP))
        [state] = service.said_by(parts.UEP)
        assert "the licence server is away" in state["error"]
        assert "exit status 4" in state["error"]


class Unreadable(UserProcess):
    """Ends at once, and nobody can say what it wrote."""

    async def run(self, environment, command):
        return 3

    async def tail(self):
        raise OSError(errno.EMFILE, "Too many open files")


async def test_one_whose_words_cannot_be_had_has_ended_all_the_same(running, parts, monkeypatch):
    monkeypatch.setattr(loop, "Child", lambda start, log: Unreadable(start.name, b""))
    async with parts.over_sockets() as service, running(service):
        for count in (1, 2):
            await service.command(CEP, start(service))
            await service.until(lambda count=count: len(service.said_by(parts.UEP)) == count)
            error = service.said_by(parts.UEP)[-1]["error"]
            assert "exit status 3" in error
            assert "Too many open files" in error


async def test_one_that_cannot_be_started_is_reported(running, parts):
    async with parts.over_sockets() as service, running(service, command=("/nowhere/python",)):
        await service.command(CEP, start(service))
        await service.until(lambda: service.said_by(parts.UEP))
        assert "/nowhere/python" in service.said_by(parts.UEP)[0]["error"]


async def test_a_killed_one_comes_again_by_itself_once_for_each_command(running, parts, started):
    async with parts.over_sockets() as service, running(service):
        await service.command(CEP, start(service))
        for life in (1, 2):
            await service.until(lambda life=life: len(service.said_by(parts.UEP)) == life)
            assert service.said_by(parts.UEP)[-1]["active"] is True
            [agent] = [child for child in started() if child.status() != psutil.STATUS_ZOMBIE]
            agent.send_signal(signal.SIGKILL)
        await service.until(lambda: len(service.said_by(parts.UEP)) == 3)
        assert "killed by signal 9" in service.said_by(parts.UEP)[2]["error"], "twice, each time just after its start"
        await service.command(CEP, start(service))
        await service.until(lambda: len(service.said_by(parts.UEP)) == 4)
        assert service.said_by(parts.UEP)[3]["active"] is True


async def test_a_file_that_nobody_expected_to_be_so_broken_keeps_nothing_from_the_next_start(running, mine, parts):
    async with parts.over_sockets() as service, running(service):
        for number, (path, text, told) in enumerate([
            (mine.schema, '{"$ref": "http://nowhere.example/schema.json"}', "schema of this endpoint's options is"),
            (mine.schema, '{"$ref": "#"}', "refers to itself without end"),
            (mine.environment, '"A=B": c\n', "cannot be a variable's name"),
            (mine.template, "display_name: 2021-13-45\n", "cannot be read as timestamp"),
        ]):  # fmt: skip
            before = path.read_text()
            path.write_text(text)
            await service.command(CEP, start(service, number=number))
            await service.until(lambda number=number: len(service.said_by(parts.UEP)) > number)
            assert told in service.said_by(parts.UEP)[-1]["error"]
            path.write_text(before)
        await service.command(CEP, start(service))
        await service.until(lambda: "active" in service.said_by(parts.UEP)[-1])


async def test_the_owners_list_and_environment_hold(running, mine, parts):
    mine.config.write_text("allowed_functions: [0192d3a0-0000-7000-8000-0000000000ff]\n")
    mine.environment.write_text("COLOUR: green\n")
    read = "def f():\n    import os\n    return os.environ['COLOUR']"
    async with parts.over_sockets() as service, running(service):
        await service.command(CEP, start(service))
        await service.send(parts.call("t", read), parts.task("u", "0192d3a0-0000-7000-8000-0000000000fe"))
        await service.until(lambda: {"t", "u"} <= set(service.results))
        assert parts.value(service.results["t"]) == "green"
        assert service.results["u"].error.code == "FUNCTION_NOT_ALLOWED"


async def test_tasks_cannot_log_in_as_the_owner(running, mine, parts, monkeypatch):
    secrets = ["AFIELD_TOKEN", *(name for pair in PAIRS for name in pair)]
    for name in secrets:
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("COLOUR", "green")
    mine.environment.write_text("FUNCX_SDK_CLIENT_ID: given\n")
    read = "def f():\n    import os\n    return dict(os.environ)"
    async with parts.over_sockets() as service, running(service):
        await service.command(CEP, start(service))
        await service.send(parts.call("t", read))
        await service.until(lambda: "t" in service.results)
    seen = parts.value(service.results["t"])
    assert seen["COLOUR"] == "green"
    assert {name: seen[name] for name in secrets if name in seen} == {"FUNCX_SDK_CLIENT_ID": "given"}


async def test_a_service_that_throws_it_out_ends_it(running, parts, started):
    async with parts.over_sockets() as service, running(service, ends=BrokerRefused) as manager:
        await service.command(CEP, start(service))
        await service.until(lambda: service.said_by(parts.UEP))
        family = [each for child in started() for each in (child, *child.children(recursive=True))]
        for login in (f"uep.{parts.UEP}.1", "cep.1"):
            service.refused.add(login)
            await service.broker.drop(login)
        with pytest.raises(BrokerRefused, match="does not let endpoint"):
            await manager.work
        assert psutil.wait_procs(family, timeout=parts.PATIENCE_S)[1] == []


async def test_cancelling_it_leaves_nothing_behind(running, parts, started):
    async with parts.over_sockets() as service, running(service, ends=asyncio.CancelledError) as manager:
        await service.command(CEP, start(service))
        await service.until(lambda: service.said_by(parts.UEP))
        family = [each for child in started() for each in (child, *child.children(recursive=True))]
        manager.work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await manager.work
        assert psutil.wait_procs(family, timeout=parts.PATIENCE_S)[1] == []


async def test_one_that_does_not_listen_is_killed(running, parts, started):
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    async with parts.over_sockets() as service:
        async with running(service, command=(sys.executable, "-c", deaf)) as manager:
            await service.command(CEP, start(service))
            await service.until_taken(CEP)
            [child] = started()
            manager.stop.set()
            manager._kill_children()  # as the grace's end does; nobody should wait for it here
            await manager.work
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


async def test_one_that_dies_at_once_is_not_started_for_ever(running, mine, parts):
    """Not by the next manager either, until the owner clears it."""
    dies = (sys.executable, "-c", "import sys; print('no such module', file=sys.stderr); sys.exit(1)")

    async def refusal(service):
        before = len(service.said_by(parts.UEP))
        await service.command(CEP, start(service))
        await service.until(lambda: len(service.said_by(parts.UEP)) > before)
        return service.said_by(parts.UEP)[-1]["error"]

    async with parts.over_sockets() as service:
        async with running(service, command=dies):
            for _ in range(2):
                assert "ended at its start, with exit status 1: no such module" in await refusal(service)
            assert "died 3 times in a row" in await refusal(service)
        async with running(service, command=dies):
            assert "no such module" in await refusal(service)
            assert RunawayFile(mine.path).clear()[start(service).kwargs.name].deaths == 3
            assert "ended at its start" in await refusal(service)
