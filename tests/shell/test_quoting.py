"""Values in commands, by what bash makes of them: each arrives as it is, wherever it stands."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afield.shell.quoting import fill

#: Commands that print the value of x with a dot behind it, with x at a different place in each.
PLACES = [
    "printf '%s.' {x}",
    "printf '%s.' '{x}'",
    'printf "%s." "{x}"',
    "printf %s. pre{x}post | sed -z 's/^pre//; s/post\\.$/./'",
    'printf "%s." "$(printf %s. {x})" | sed -z "s/\\.\\.$/./"',
    'printf "%s." "$(printf "%s." "{x}")" | sed -z "s/\\.\\.$/./"',
    "# it's a comment with a quote\nprintf %s. {x}",
    "y={x}; printf '%s.' \"$y\"",
    "(printf '%s.' {x})",
    "z=$((1 << 2)); printf '%s.' {x}",
    "awk '{print}' < /dev/null; printf '%s.' {x}",
    "echo \\' > /dev/null; printf '%s.' {x}",
    "echo $'it\\'s' > /dev/null; printf '%s.' {x}",
    "echo \"${HOME:-{}}\" > /dev/null; printf '%s.' {x}",
    "cat > /dev/null <<EOF\n'\"(\nEOF\nprintf '%s.' {x}",
    "cat > /dev/null <<-'E F'\n\t$(\n\tE F\nprintf '%s.' {x}",
    "cat > /dev/null <<< \"'\"; printf '%s.' {x}",
    "case a in a) printf '%s.' {x};; esac",
    "f() { printf '%s.' \"$1\"; }; f {x}",
]

#: What a value may have to survive.
NASTY = [
    "", " ", "a b", "it's", '"', "$HOME", "$(echo no)", "`echo no`", "a; echo no", "\\", "\\'", "a\\", "-n", "*", "~",
    "#", "no & no", "a\nb", "{x}", "ü €", "!!", "'; echo no; '", '"; echo no; "', "$'", "%s",
]  # fmt: skip

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=30) | st.sampled_from(NASTY)


def bash(command: str) -> str:
    done = subprocess.run(["/bin/bash", "-c", command], capture_output=True, text=True)
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", PLACES)
@pytest.mark.parametrize("value", NASTY)
def test_a_value_arrives_as_it_is(command, value):
    if "$(printf" in command and value.endswith("\n"):
        pytest.skip("a substitution drops newlines at its end, as shells do")
    assert bash(fill(command, {"x": value})) == f"{value}."


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PLACES), texts)
def test_any_value_arrives_as_it_is(command, value):
    assert bash(fill(command, {"x": value})) == f"{value}."


@settings(deadline=None, max_examples=60)
@given(texts, st.booleans())
def test_in_a_here_document_it_arrives_too(value, quoted):
    word = "'THE END'" if quoted else "THE_END"
    command = f"cat <<{word}\n<{{x}}>\n{word.strip(chr(39))}\nprintf %s {{x}}"
    assert bash(fill(command, {"x": value})) == f"<{value}>\n{value}"


def test_a_list_becomes_several_words():
    assert bash(fill("printf '<%s>' {files}", {"files": ["a b", "c's", ""]})) == "<a b><c's><>"
    assert bash(fill("printf '<%s>' '{files}'", {"files": ("a", "b")})) == "<a b>"


@pytest.mark.parametrize(
    ("command", "values", "expected"),
    [
        ("awk '{print $1}'", {}, "awk '{print $1}'"),
        ("awk '{print $1}' {f}", {"f": "x"}, "awk '{print $1}' x"),
        ("awk '{{print $1}}' {f}", {"f": "x"}, "awk '{print $1}' x"),  # as the published rule has it
        ("echo ${HOME} {x}", {"x": 1}, "echo ${HOME} 1"),
        ("echo {x!r}", {"x": "a"}, "echo ''\"'\"'a'\"'\"''"),
        ("echo {x:03d}", {"x": 7}, "echo 007"),
        ("echo {x} {x}", {"x": 7}, "echo 7 7"),
        ("for i in {1..3}; do echo $i {x}; done", {"x": "a"}, "for i in {1..3}; do echo $i a; done"),
        ("echo $(({n} + 1))", {"n": 41}, "echo $((41 + 1))"),
    ],
)
def test_which_braces_are_placeholders(command, values, expected):
    assert fill(command, values) == expected


def test_without_quoting_it_is_as_published():
    assert fill("ls {flags}", {"flags": "-l -a"}, quote=False) == "ls -l -a"
    assert fill("echo ${x}", {"x": "HOME"}, quote=False) == "echo $HOME"


@pytest.mark.parametrize(
    ("command", "value", "says"),
    [
        ("echo `ls {x}`", "a", "backticks"),
        ("echo \\{x}", "a", "backslash"),
        ("echo a # {x}", "a", "comment"),
        ("echo $'{x}'", "a", "outside of the quotes"),
        ("echo $(({x} + 1))", "a[$(id)]", "arithmetic"),
        ('echo "$(case a in a) echo; esac; ls {x})"', "a", "case"),
        ('cat <<E"O"F\n{x}\nEOF\n', "a", "plain word"),
        ("cat <<EOF\n{x}\nEOF\n", "a\nEOF\nrm", "EOF"),
        ("cat <<EOF\n{x}\nEOF\n", "EOF", "EOF"),
        ("cat <<-EOF\n{x}\nEOF\n", "\tEOF", "EOF"),
        ("echo {x}", "a\0b", "NUL"),
    ],
)
def test_where_it_cannot_be_safe_it_refuses(command, value, says):
    with pytest.raises(ValueError, match=says):
        fill(command, {"x": value})


def test_two_values_cannot_make_the_word_of_a_here_document_together():
    with pytest.raises(ValueError, match="EOF"):
        fill("cat <<EOF\n{a}{b}\nEOF\n", {"a": "EO", "b": "F"})


def test_a_value_without_a_place_is_an_error():
    with pytest.raises(TypeError, match=r"no place for wrod: write \{wrod\}"):
        fill("grep {word} f", {"wrod": "a", "word": "b"})


def test_a_name_that_was_not_given_stays():
    # It may be the shell's: {word} is a word like any other there.
    assert fill("echo {word}", {}) == "echo {word}"
