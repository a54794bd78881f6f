"""Which account an identity is: the published rules, and attempts to be somebody else."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from afield.endpoint.manager.identity import ExternalMapping, question, read_answer, read_rules
from afield.errors import ConfigurationError

ADA = {"id": "a1", "sub": "a1", "username": "ada@uni.example.org", "email": "ada@home.example.org", "status": "used"}


def rules(*mappings):
    documents = [{"DATA_TYPE": "expression_identity_mapping#1.0.0", "mappings": list(mappings)}]
    return read_rules(json.dumps(documents), "mapping.json")[0]


def by_name(match, output="{0}", **more):
    return rules({"source": "{username}", "match": match, "output": output, **more})


def account(rule, *identities):
    found = rule.candidates(identities or (ADA,))
    return next(iter(found[0].values()))[0] if found else None


def named(username, **more):
    return {**ADA, "username": username, **more}


def test_a_name_of_a_domain_is_an_account():
    assert account(by_name(r"(.*)@uni\.example\.org")) == "ada"
    assert account(by_name(r"(.*)@uni\.example\.org"), named("ada@uniXexample.org")) is None


def test_any_field_and_any_text_make_source_and_output():
    mapping = {"source": "{id}/{email}", "match": r"a1/(.*)@(.*)\.example\.org", "output": "u_{1}_{0}_{id}"}
    assert account(rules(mapping)) == "u_home_ada_a1"
    assert account(rules({**mapping, "source": "{id}/{nickname}"})) is None, "a field that the identity lacks"
    assert account(rules(mapping), {**ADA, "email": None}) is None
    assert account(rules({"source": "{username}", "match": "(.*)@.*", "output": r"\{{0}\}"})) == "{ada}"


def test_alternatives_and_repetitions_and_groups_again():
    assert account(by_name(r"(ada|bob)@uni\.example\.org", "team")) == "team"
    assert account(by_name(r"ada@uni\.(x)?example\.org", "team")) == "team"
    assert account(by_name(r"(.)d\1@.*", "{0}")) == "a"
    assert account(by_name(r"ada|bob", "team"), named("bob")) == "team"


def test_literal_and_ignore_case():
    assert account(by_name("ada@uni.example.org", "x", literal=True)) == "x"
    assert account(by_name("ada@uni.example.org", "x", literal=True), named("ada@uni-example.org")) is None
    assert account(by_name("a*a", "x", literal=True), named("a*a")) == "x"
    shouted = named("ADA@UNI.EXAMPLE.ORG")
    assert account(by_name(r"(.*)@uni\.example\.org"), shouted) is None
    assert account(by_name(r"(.*)@uni\.example\.org", ignore_case=True), shouted) == "ADA"


def test_the_first_mapping_wins_and_then_the_first_identity():
    other = {**ADA, "id": "b2", "username": "lovelace@lab.example.org"}
    mapping = rules(
        {"source": "{username}", "match": r"(.*)@lab\.example\.org", "output": "{0}"},
        {"source": "{username}", "match": r"(.*)@uni\.example\.org", "output": "{0}"},
    )
    assert account(mapping, ADA, other) == "lovelace"
    assert mapping.candidates([ADA, other]) == [{"b2": ["lovelace"]}, {"a1": ["ada"]}]
    assert account(by_name("(.*)@.*"), other, ADA) == "lovelace"
    assert account(by_name("(.*)@.*"), ADA, other) == "ada"


@pytest.mark.parametrize("status", ["unused", "closed", None, 3])
def test_identities_that_nobody_uses_count_for_nothing(status):
    assert account(by_name("(.*)@.*"), {**ADA, "status": status}) is None


@pytest.mark.parametrize(
    ("match", "username"),
    [
        (r"ada@uni\.example\.org", "ada@uni.example.org.evil.example"),
        (r"ada@uni\.example\.org", "xada@uni.example.org"),
        (r"ada@uni\.example\.org", "ada@uni.example.org\n"),
        (r"ada@uni\.example\.org|bob", "ada@uni.example.org.evil"),
        (r"ada@uni\.example\.org|bob", "evilbob"),
        (r"ada@uni\.example\.org|bob", "bobby"),
        (r".*@uni\.example\.org", "evil\n@uni.example.org"),
        (r"(.*)@uni\.example\.org", "x" * 600 + "@uni.example.org"),
        (r"a[d]a", "ada"),
        (r"ad+a", "adda"),
        (r"ad{1}a", "ada"),
        (r"^ada$", "ada"),
    ],
)
def test_nothing_matches_by_half(match, username):
    assert account(by_name(match, "root"), named(username)) is None


@pytest.mark.parametrize("username", ["ada@\u017fite.example", "ada@\u212aite.example"])
def test_a_letter_that_looks_alike_is_another_letter(username):
    assert account(by_name(r"(.*)@.ite\.example", ignore_case=True), named("ada@SITE.example")) == "ada"
    assert account(by_name(r"(.*)@site\.example", ignore_case=True), named(username)) is None
    assert account(by_name(r"(.*)@kite\.example", ignore_case=True), named(username)) is None


def test_what_is_put_in_is_not_looked_through_again():
    assert account(by_name("(.*)@.*", "{0}"), named("{email}@x")) == "{email}"
    assert account(by_name("(.*)@(.*)", "{0}-{1}"), named("{1}@root")) == "{1}-root"
    assert account(rules({"source": "{username}", "match": "ada@x", "output": "o"}), named("{email}")) is None


def test_a_group_that_took_no_part_makes_no_account():
    assert account(by_name(r"(ada)@.*|(.*)", "{1}")) is None


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"match": "*x"}, "nothing to repeat"),
        ({"match": "(?i)ada"}, "nothing to repeat"),
        ({"match": "a|*"}, "nothing to repeat"),
        ({"match": "a*?"}, "nothing to repeat"),
        ({"match": r"\d*"}, r"has \d, which means nothing"),
        ({"match": r"\0"}, r"has \0, which means nothing"),
        ({"match": "ada\\"}, "means nothing"),
        ({"match": r"\1(a)"}, "is no expression"),
        ({"match": "(ada"}, "is no expression"),
        ({"match": "ada", "output": "{0}"}, "wants group {0}, and match 'ada' has 0"),
        ({"match": "(a)", "output": "{0}{1}"}, "wants group {1}"),
        ({"match": "(a)", "source": "{0}"}, "fields of the identity only"),
        ({"match": "a", "literal": "yes"}, "literal should be true or false"),
        ({"match": 3}, "match should be a text"),
        ({"match": "a", "outptu": "x"}, "nobody knows the key outptu"),
    ],
)
def test_a_rule_that_is_wrong_is_told_with_its_place(mapping, words):
    with pytest.raises(ConfigurationError) as caught:
        rules({"source": "{username}", "output": "x", "match": "ok"}, {"source": "{id}", "output": "x", **mapping})
    assert "mapping.json: document 1, mapping 2" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "match",
    ["((a*)*)*b", "(.*x)*", r"(.*\.)*org", "(a|a)*b", "(a|.)*b", "(a?a?)*b", "(ab|a|b)*c", r"(.)(\1)*b"],
)
def test_what_could_be_tried_for_ever_is_refused(match):
    with pytest.raises(ConfigurationError, match=r"document 1, mapping 1: match .* busy for ever"):
        by_name(match, "x")


@pytest.mark.parametrize(
    ("match", "names"),
    [
        ("(a|b)*", "abba"),
        ("(a*b)*", "aabab"),
        ("(a?b)*", "abbab"),
        ("(ab)*(ab)*", "ababab"),
        ("((ab)?c)*", "abcc"),
        ("(a|A)*", "aAa"),
        (r"(a\*\))*", "a*)a*)"),
        (".*.*@.*", "ada@x"),
    ],
)
def test_what_fits_in_one_way_only_is_not(match, names):
    assert account(by_name(match, "x"), named(names)) == "x"
    assert account(by_name(match, "x"), named(names * 30 + "!")) == (None if "." not in match else "x")


def test_a_long_one_is_judged_at_once():
    judge = f"from afield.endpoint.manager.ambiguity import multiplies; assert not multiplies('(a.b)*{'.*' * 40}')"
    subprocess.run([sys.executable, "-c", judge], check=True, timeout=30)


def test_case_counts_there_as_it_does_in_the_match():
    with pytest.raises(ConfigurationError, match="busy for ever"):
        by_name("(a|A)*", "x", ignore_case=True)
    assert account(by_name("(.*)*", "x", literal=True), named("(.*)*")) == "x"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "line 1: this is not JSON"),
        ("{}", "a list of mapping documents"),
        ("[]", "with at least one"),
        ("[3]", "document 1 should be an object"),
        ('[{"DATA_TYPE": "expression_identity_mapping#2.0.0"}]', "DATA_TYPE should be"),
        ('[{"DATA_TYPE": "expression_identity_mapping#1.0.0", "mappings": []}]', "mappings should be a list"),
        ('[{"DATA_TYPE": "external_identity_mapping#1.0.0", "command": "x"}]', "command should be a list"),
        ('[{"DATA_TYPE": "external_identity_mapping#1.0.0", "command": ["x"]}]', "the whole path"),
        ('[{"DATA_TYPE": "external_identity_mapping#1.0.0", "command": ["/x", true]}]', "command should be a list"),
        ("[" * 100_000, "deeper"),
    ],
)
def test_a_file_that_is_wrong_is_told(text, words):
    with pytest.raises(ConfigurationError) as caught:
        read_rules(text, "mapping.json")
    assert words in str(caught.value)


def test_a_program_is_asked_in_the_published_way():
    document = '[{"DATA_TYPE": "external_identity_mapping#1.0.0", "command": ["/opt/map", "--fast", 3]}]'
    [program] = read_rules(document, "mapping.json")
    assert isinstance(program, ExternalMapping)
    assert program.arguments("e") == (
        "/opt/map", "--fast", "3", "-c", "145812c8-decc-41f1-83cf-bb2a85a2a70b", "-s", "e", "-a",
    )  # fmt: skip
    asked = json.loads(question([ADA, {**ADA, "id": "gone", "status": "closed"}]))
    assert asked == {"DATA_TYPE": "identity_mapping_input#1.0.0", "identities": [ADA]}


def test_a_program_answers_in_the_published_way():
    answer = {"DATA_TYPE": "identity_mapping_output#1.0.0", "result": [{"id": "a1", "output": "ada"}]}
    assert read_answer(json.dumps(answer).encode(), [ADA]) == [{"a1": ["ada"]}]
    for nothing in (b"", b"\n", b'{"DATA_TYPE": "identity_mapping_output#1.0.0", "result": []}'):
        assert read_answer(nothing, [ADA]) == []


@pytest.mark.parametrize(
    "answer",
    [
        b"ada",
        b"[]",
        b'{"DATA_TYPE": "x", "result": []}',
        b'{"result": [3]}',
        b'{"result": "ada"}',
        b'{"result": [{"id": "a1", "output": ""}]}',
        b'{"result": [{"id": "a1", "output": 3}]}',
        b'{"result": [{"id": "b2", "output": "root"}]}',
    ],
)
def test_another_answer_names_nobody(answer):
    with pytest.raises(ConfigurationError, match=r"its answer|it answered"):
        read_answer(answer, [ADA])
