"""Authentication policies: who logged in how, what they are told, and what is of high assurance."""

from __future__ import annotations

from typing import Any

import globus_sdk.gare
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afield.service.api.answers import body_of
from afield.service.domain.caller import Caller
from afield.service.domain.people import IdentityRecord, PolicyRecord, Session
from afield.service.domain.policies import admits, check_policy, is_domain
from afield.service.domain.refusals import Refusal
from afield.wire import codec, v1
from afield.wire.rest_people import GrantWish, PolicyWish

from .conftest import ADA, BOB, World
from .test_access_routes import NOWHERE, Door, door

__all__ = ["door"]  # a fixture

pytestmark = pytest.mark.anyio

NOW = 1_000_000.0


def person(username: str) -> IdentityRecord:
    return IdentityRecord(username, username, username, "", 1.0)


def policy(**said: Any) -> PolicyRecord:
    return PolicyRecord("policy", "owner", "The rule", 1.0, **said)


def caller(*usernames: str, at: dict[str, float] | None = None, mfa: tuple[str, ...] = ()) -> Caller:
    first, *others = map(person, usernames)
    return Caller(first, tuple(others), session=None if at is None else Session(at, mfa))


UNI, HOME = "ada@uni.example", "ada@home.example"
LATELY = {UNI: NOW - 59}

#: (policy, who) -> whether they may
DECISIONS = [
    (policy(), caller("ada"), True),
    (policy(include_domains=("uni.example",)), caller(UNI), True),
    (policy(include_domains=("UNI.example",)), caller(UNI.upper()), True),
    (policy(include_domains=("uni.example",)), caller(HOME), False),
    (policy(include_domains=("uni.example",)), caller(HOME, UNI), True),
    (policy(include_domains=("uni.example",)), caller("ada@sub.uni.example"), False),
    (policy(include_domains=("uni.example",)), caller("ada@evil-uni.example"), False),
    (policy(include_domains=("uni.example",)), caller("uni.example"), False),
    (policy(include_domains=("uni.example",)), caller("uni.example@home.example"), False),
    (policy(include_domains=("*.example",)), caller(UNI), True),
    (policy(include_domains=("*.uni.example",)), caller(UNI), False),
    (policy(include_domains=()), caller(UNI), False),
    (policy(exclude_domains=("home.example",)), caller(HOME), False),
    (policy(exclude_domains=("home.example",)), caller("ada"), True),
    (policy(include_domains=("*.example",), exclude_domains=("home.example",)), caller(HOME), False),
    (policy(include_domains=("*.example",), exclude_domains=("home.example",)), caller(HOME, UNI), True),
    (policy(session_s=60), caller(UNI), False),
    (policy(session_s=60), caller(UNI, at={}), False),
    (policy(session_s=60), caller(UNI, at=LATELY), True),
    (policy(session_s=59), caller(UNI, at=LATELY), False),
    (policy(session_s=60), caller(UNI, at={UNI: NOW + 5}), True),
    # The identity that is admitted must be the one that logged in.
    (policy(session_s=60, include_domains=("home.example",)), caller(HOME, UNI, at=LATELY), False),
    (policy(session_s=60, include_domains=("uni.example",)), caller(HOME, UNI, at=LATELY), True),
    (policy(mfa_required=True), caller(UNI, at=LATELY), False),
    (policy(mfa_required=True), caller(UNI, at=LATELY, mfa=(UNI,)), True),
    (policy(mfa_required=True), caller(UNI, HOME, at=LATELY, mfa=(HOME,)), True),
    (policy(mfa_required=True, session_s=60), caller(UNI, HOME, at=LATELY, mfa=(HOME,)), False),
    (policy(high_assurance=True), caller(UNI), False),
    (policy(high_assurance=True), caller(UNI, at={UNI: 1.0}), True),
]


@pytest.mark.parametrize(("rule", "who", "may"), DECISIONS)
def test_who_satisfies_a_policy(rule, who, may):
    refusal = check_policy(rule, who, NOW)
    assert (refusal is None) is may
    if refusal is not None:
        assert refusal.status == 403
        assert "'The rule'" in refusal.message


@given(st.text(), st.lists(st.sampled_from(["uni.example", "*.example", "home.example"]), max_size=3))
def test_what_is_excluded_is_never_admitted(username, domains):
    rule = policy(include_domains=tuple(domains), exclude_domains=tuple(domains))
    assert not admits(rule, username)


@pytest.mark.parametrize("domain", ["example.org", "*.example.org", "localhost", "a-b.c", "xn--bcher-kva.example"])
def test_what_is_a_domain(domain):
    assert is_domain(domain)


@pytest.mark.parametrize(
    "text", ["", "*", "*.", "a@b.c", "a..b", ".a", "a.", "-a.b", "a b", "*.*.a", "a*.b", "x" * 64, "a." * 128, "é.org"]
)
def test_what_is_no_domain(text):
    assert not is_domain(text)


def gare(refusal: Refusal) -> globus_sdk.gare.GARE:
    """As the published library reads the answer."""
    found = globus_sdk.gare.to_gare(msgspec.json.decode(body_of(refusal)))
    assert found is not None
    return found


def test_the_published_library_reads_what_is_asked_for():
    rule = policy(session_s=60, mfa_required=True, include_domains=("uni.example",))
    refusal = check_policy(rule, caller(UNI, at={}), NOW)
    assert refusal is not None
    read = gare(refusal)
    assert read.code == "AuthorizationRequired"
    parameters = read.authorization_parameters
    assert parameters.session_required_policies == ["policy"]
    assert parameters.session_required_mfa is True
    assert parameters.prompt == "login"
    assert parameters.session_message == refusal.message
    of_another = check_policy(rule, caller(HOME), NOW)
    assert of_another is not None
    assert gare(of_another).authorization_parameters.session_required_single_domain == ["uni.example"]


def test_a_program_is_told_that_its_token_says_nothing_of_a_login():
    refusal = check_policy(policy(session_s=60), caller(UNI), NOW)
    assert refusal is not None
    assert "says of no login" in refusal.message


class TestOnEndpoints:
    async def test_a_submit_is_asked_for_a_login_and_let_in_after_it(self, world):
        rule = await world.uses.policies.make(ADA, PolicyWish("fresh", session_s=60))
        core = await world.core(online=False, authentication_policy=rule.id)
        function_id = await world.function()
        with pytest.raises(Refusal) as caught:
            await world.submit(core, function_id)
        assert gare(caught.value).authorization_parameters.session_required_policies == [rule.id]
        fresh = logged_in(ADA, world.clock.now())
        await world.submit(core, function_id, caller=fresh)
        world.clock.advance(60)
        with pytest.raises(Refusal):
            await world.submit(core, function_id, caller=fresh)
        shown = await world.uses.endpoints.describe(ADA, core.id)
        assert shown.authentication_policy == rule.id

    async def test_a_guest_without_a_grant_is_not_asked_to_log_in(self, world):
        rule = await world.uses.policies.make(ADA, PolicyWish("fresh", session_s=60))
        core = await world.core(online=False, authentication_policy=rule.id)
        with pytest.raises(Refusal) as caught:
            await world.submit(core, await world.function(BOB), caller=BOB)
        assert caught.value.authorization is None

    async def test_a_changed_policy_counts_at_once(self, world):
        rule = await world.uses.policies.make(ADA, PolicyWish("any"))
        core = await world.core(online=False, authentication_policy=rule.id)
        function_id = await world.function()
        await world.submit(core, function_id)
        await world.uses.policies.replace(ADA, rule.id, PolicyWish("uni", include_domains=["uni.example"]))
        with pytest.raises(Refusal, match=r"uni\.example"):
            await world.submit(core, function_id)

    async def test_one_in_use_stays_and_where_it_is_gone_nobody_gets_in(self, world):
        rule = await world.uses.policies.make(ADA, PolicyWish("any"))
        core = await world.core(online=False, authentication_policy=rule.id)
        with pytest.raises(Refusal, match=core.id) as caught:
            await world.uses.policies.delete(ADA, rule.id)
        assert caught.value.status == 409
        await world.store.people.delete_policy(rule.id)
        with pytest.raises(Refusal, match="does not exist any more") as caught:
            await world.submit(core, await world.function())
        assert (caught.value.status, caught.value.authorization) == (403, None)

    async def test_it_is_kept_until_a_registration_says_otherwise(self, world):
        rule = await world.uses.policies.make(ADA, PolicyWish("any"))
        core = await world.core(online=False, authentication_policy=rule.id)
        await world.uses.register_endpoint.again(ADA, core.id, world.registration())
        await world.uses.policies.delete(ADA, rule.id)


def logged_in(who: Caller, at: float) -> Caller:
    return Caller(who.identity, session=Session({who.id: at}))


class TestHighAssurance:
    async def protected(self, world: World, **said: Any) -> tuple[str, str, Caller]:
        """An endpoint's id, a function bound to it, and its owner, who has just logged in."""
        rule = await world.uses.policies.make(ADA, PolicyWish("strict", high_assurance=True, session_s=60))
        self.core = await world.core(online=False, high_assurance=True, authentication_policy=rule.id, **said)
        function_id = await world.function(ha_endpoint_id=self.core.id)
        return self.core.id, function_id, logged_in(ADA, world.clock.now())

    async def run(self, world: World, function_id: str, who: Caller, wire: int = 2):
        """A task that has ended well."""
        accepted = await world.submit(self.core, function_id, caller=who, wire=wire)
        await self.core.report()
        user = await (await self.core.start()).consume()
        await user.report()
        task = await user.tasks.get()
        results = await world.watch(accepted)
        await user.send(world.success(task.task_id, b"00\nsecret\n"))
        return task.task_id, await results.get()

    @pytest.mark.parametrize("wire", [1, 2])
    async def test_a_result_is_announced_not_streamed(self, world, wire):
        _, function_id, who = await self.protected(world)
        task_id, delivery = await self.run(world, function_id, who, wire)
        assert delivery.properties.headers[v1.HIGH_ASSURANCE] is True
        assert b"secret" not in delivery.body
        [announced] = codec.decode(delivery.body, delivery.properties.headers)
        assert announced.task_id == task_id

    async def test_it_is_read_only_after_a_login_as_the_policy_asks(self, world):
        _, function_id, who = await self.protected(world)
        task_id, _ = await self.run(world, function_id, who)
        assert (await world.uses.watch.task(who, task_id, 1)).result == "00\nsecret\n"
        world.clock.advance(60)
        for reading in (world.uses.watch.task(who, task_id, 1), world.uses.watch.tasks(who, [task_id], 1)):
            with pytest.raises(Refusal) as caught:
                await reading
            assert gare(caught.value).authorization_parameters.prompt == "login"
        again = logged_in(ADA, world.clock.now())
        assert (await world.uses.watch.tasks(again, [task_id], 1)).results[task_id].result == "00\nsecret\n"

    async def test_results_of_others_are_streamed_as_ever(self, world):
        core, user, function_id = await world.ready()
        accepted = await world.submit(core, function_id)
        results = await world.watch(accepted)
        await user.send(world.success((await user.tasks.get()).task_id))
        delivery = await results.get()
        assert v1.HIGH_ASSURANCE not in delivery.properties.headers
        assert b"value" in delivery.body

    async def test_its_functions_run_there_and_nowhere_else(self, world):
        endpoint_id, function_id, _ = await self.protected(world)
        other = await world.core(online=False)
        with pytest.raises(Refusal, match=endpoint_id) as caught:
            await world.submit(other, function_id)
        assert (caught.value.status, caught.value.code) == (403, "FUNCTION_NOT_PERMITTED")
        # Nor there, once it is of high assurance no more.
        await world.uses.register_endpoint.again(ADA, endpoint_id, world.registration())
        with pytest.raises(Refusal) as caught:
            await world.submit(self.core, function_id)
        assert caught.value.code == "FUNCTION_NOT_PERMITTED"

    @pytest.mark.parametrize("shared", [{"public": True}, {"group": NOWHERE}])
    async def test_its_functions_are_not_shared(self, world, shared):
        endpoint_id, _, _ = await self.protected(world)
        with pytest.raises(Refusal, match="excludes") as caught:
            await world.function(ha_endpoint_id=endpoint_id, **shared)
        assert caught.value.status == 422

    async def test_a_function_is_bound_only_to_what_is_of_high_assurance_and_ones_to_use(self, world):
        endpoint_id, _, _ = await self.protected(world)
        plain = await world.core(online=False)
        for who, named, status in ((ADA, plain.id, 422), (ADA, NOWHERE, 404), (BOB, endpoint_id, 403)):
            with pytest.raises(Refusal) as caught:
                await world.function(who, ha_endpoint_id=named)
            assert caught.value.status == status
        await world.uses.sharing.share(ADA, endpoint_id, GrantWish("run", username="bob"))
        await world.function(BOB, ha_endpoint_id=endpoint_id)

    async def test_its_policy_stays_one(self, world):
        endpoint_id, _, _ = await self.protected(world)
        [rule] = (await world.uses.policies.list(ADA)).policies
        with pytest.raises(Refusal, match=endpoint_id) as caught:
            await world.uses.policies.replace(ADA, rule.id, PolicyWish("lax"))
        assert caught.value.status == 409
        lax = await world.uses.policies.make(ADA, PolicyWish("lax"))
        for said in ({}, {"authentication_policy": lax.id}):
            with pytest.raises(Refusal, match="high assurance") as caught:
                await world.core(online=False, high_assurance=True, **said)
            assert caught.value.status == 422


POLICIES = "/afield/v1/policies"
DOMAINS = ["x"] * 101

#: (method, path, body) -> status, code, what the sentence names
BAD = [
    ("POST", POLICIES, {}, 400, "REQUEST_MALFORMED", "name"),
    ("POST", POLICIES, {"name": " "}, 422, "SEMANTICALLY_INVALID", "empty"),
    ("POST", POLICIES, {"name": "a\0"}, 422, "SEMANTICALLY_INVALID", "NUL"),
    ("POST", POLICIES, {"name": "a", "session_s": 0}, 400, "REQUEST_MALFORMED", "session_s"),
    ("POST", POLICIES, {"name": "a", "session_s": 1e300}, 400, "REQUEST_MALFORMED", "session_s"),
    ("POST", POLICIES, {"name": "a", "mfa_required": "yes"}, 400, "REQUEST_MALFORMED", "mfa_required"),
    ("POST", POLICIES, {"name": "a", "include_domains": ["a b"]}, 422, "SEMANTICALLY_INVALID", "'a b'"),
    ("POST", POLICIES, {"name": "a", "include_domains": []}, 422, "SEMANTICALLY_INVALID", "nobody"),
    ("POST", POLICIES, {"name": "a", "exclude_domains": DOMAINS}, 400, "REQUEST_MALFORMED", "exclude_domains"),
    ("POST", POLICIES, {"name": "a", "include_domains": ["a"], "exclude_domains": ["A"]}, 422,
     "SEMANTICALLY_INVALID", "nobody"),
    ("PUT", POLICIES + "/{policy}", {"name": "a", "include_domains": ["*"]}, 422, "SEMANTICALLY_INVALID", "'*'"),
    ("PUT", POLICIES + "/{policy}", {"session_s": 1}, 400, "REQUEST_MALFORMED", "name"),
    ("GET", POLICIES + "/x", None, 400, "INVALID_UUID", "x"),
    ("DELETE", POLICIES + "/" + NOWHERE, None, 404, "POLICY_NOT_FOUND", NOWHERE),
    ("POST", "/v3/endpoints", {"endpoint_name": "e", "authentication_policy": "x"}, 400, "INVALID_UUID", "x"),
    ("POST", "/v3/endpoints", {"endpoint_name": "e", "authentication_policy": NOWHERE}, 422,
     "SEMANTICALLY_INVALID", NOWHERE),
    ("POST", "/v3/endpoints", {"endpoint_name": "e", "high_assurance": True}, 422,
     "SEMANTICALLY_INVALID", "authentication_policy"),
    ("POST", "/v3/functions", {"function_name": "f", "function_code": "x", "serialized": False, "group": "lab"}, 400,
     "INVALID_UUID", "lab"),
    ("POST", "/v3/functions", {"function_name": "f", "function_code": "x", "serialized": False,
     "ha_endpoint_id": "lab"}, 400, "INVALID_UUID", "lab"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "status", "code", "named"), BAD)
async def test_bad_input_is_told(door: Door, method, path, body, status, code, named):
    rule = await door.world.uses.policies.make(ADA, PolicyWish("any"))
    got, answer = await door.ask("o", method, path.format(policy=rule.id), body)
    assert (got, answer["code"]) == (status, code), answer
    assert named in answer["detail"]


async def test_a_policy_is_shown_as_it_was_wished(door: Door):
    wish = {
        "name": "a", "description": "b", "high_assurance": True, "session_s": 60.0, "mfa_required": True,
        "include_domains": ["*.example.org"], "exclude_domains": ["x.example.org"],
    }  # fmt: skip
    _, made = await door.ask("o", "POST", POLICIES, wish)
    assert {name: made[name] for name in wish} == wish
    assert made["owner"] == ADA.id
    assert (await door.ask("x", "GET", f"{POLICIES}/{made['id']}"))[1] == made
    assert (await door.ask("l", "GET", POLICIES))[1] == {"policies": [made]}
    assert (await door.ask("x", "GET", POLICIES))[1] == {"policies": []}
    assert (await door.ask("o", "DELETE", f"{POLICIES}/{made['id']}"))[1] == {"deleted": 1}
