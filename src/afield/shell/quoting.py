r"""PURE: values into a command, so that each arrives as it is and none is taken for a command.

Theory. What a value must be written like depends on where in the command it stands::

    ls {x}          outside of quotes                                 as one word, by shlex.quote
    grep '{x}' f    between single quotes: only ' has to be written   '\''
    echo "{x}"      between double quotes: \ " $ ` mean something     each behind a backslash
    cat <<EOF       in a here-document: \ $ ` mean something          each behind a backslash
    cat <<'EOF'     in a quoted one: nothing does                     as it is
    $(({x} + 1))    in arithmetic, which is evaluated once more       only whole numbers

So the text between the placeholders is read as a shell would, as far as quotes go: quotes, backslashes, comments,
command substitutions (which begin a context of their own, also between double quotes) and here-documents. It need not
understand the language: where it cannot be sure it refuses, and says what to write instead.

Which braces are placeholders? The published rule is ``str.format``: ``{name}``, and doubled braces for single ones.
Where a command is no such format string, or names what was not given (``awk '{print $1}'``, ``${HOME}``), the published
one fails; here only ``{name}`` of the values that were given is a placeholder then, and all other braces stay as they
are.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, Final

__all__ = ["fill"]

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_]\w*)(![rsa])?(:[^{}]*)?\}")
_HERE_DOCUMENT: Final = re.compile(r"<<(-?)[ \t]*(?:(['\"])(.+?)\2|(\\?)([^\s;&|<>()'\"\\]+))(?=[\s;&|<>()])")

#: (literal text before it, name or None at the end, conversion, format)
_Part = tuple[str, str | None, str | None, str]


def fill(command: str, values: Mapping[str, Any], *, quote: bool = True) -> str:
    """``command`` with ``values`` in the places of their names.

    :param quote: whether values are written such that the shell takes each as text; a list or tuple as several words
    :raises TypeError: a value has no place in the command
    :raises ValueError: a value stands where it cannot be written safely, or cannot be written at all
    """
    parts = _strict(command, values, quote=quote) or list(_lenient(command, values))
    unused = values.keys() - {name for _, name, _, _ in parts}
    if unused:
        names = ", ".join(sorted(unused))
        raise TypeError(
            f"the command has no place for {names}: write {{{min(unused)}}} where it belongs in {command!r}"
        )
    reader = _Reader()
    made = []
    for literal, name, conversion, form in parts:
        made.append(literal)
        if quote:
            reader.read(literal)
        if name is None:
            break
        several = isinstance(values[name], list | tuple) and not conversion and not form
        words = [_text(each, conversion, form) for each in (values[name] if several else [values[name]])]
        if any("\0" in word for word in words):
            raise ValueError(f"{name} holds a NUL character, which no command can hold")
        if quote:
            made.append(reader.written(name, words))
        else:
            made.append(" ".join(words))
    return "".join(made)


def _strict(command: str, values: Mapping[str, Any], *, quote: bool) -> list[_Part] | None:
    """As the published rule reads it; None: it does not."""
    try:
        parts = [(text, name, conversion, form or "") for text, name, form, conversion in Formatter().parse(command)]
    except ValueError:
        return None
    if any(name is not None and (name not in values or "{" in form) for _, name, _, form in parts):
        return None
    # ${name} is the shell's own.
    if quote and any(name is not None and literal.endswith("$") for literal, name, _, _ in parts):
        return None
    # Doubled braces end a literal there, so that one placeholder may have several before it.
    return [*_joined(parts), ("", None, None, "")]


def _joined(parts: list[_Part]) -> Iterator[_Part]:
    before = ""
    for literal, name, conversion, form in parts:
        before += literal
        if name is not None:
            yield before, name, conversion, form
            before = ""
    if before:
        yield before, None, None, ""


def _lenient(command: str, values: Mapping[str, Any]) -> Iterator[_Part]:
    end = 0
    for found in _PLACEHOLDER.finditer(command):
        name = found[1]
        if name in values and not command.endswith("$", 0, found.start()):
            yield command[end : found.start()], name, found[2] and found[2][1:], (found[3] or ":")[1:]
            end = found.end()
    yield command[end:], None, None, ""


def _text(value: Any, conversion: str | None, form: str) -> str:
    formatter = Formatter()
    return str(formatter.format_field(formatter.convert_field(value, conversion), form))


class _Reader:
    """Reads shell text and knows at its end what a value would have to be written like."""

    def __init__(self) -> None:
        # What is open, outermost first: ' " $' ` # ( or (( .
        self._open: list[str] = []
        # Here-documents whose bodies begin with the next line: closing word, whether tabs before it count, quoted.
        self._announced: list[_HereDocument] = []
        self._here: _HereDocument | None = None
        # Of its present line what was read so far, and the last value in it.
        self._line = ""
        self._filled = ""
        self._word_begins = True
        #: the text ended with a backslash
        self._escaped = False
        #: what makes it impossible to be sure of anything from here on
        self._unsure = ""

    def read(self, text: str) -> None:
        """Go on reading."""
        at = 0
        while at < len(text):
            at += self._step(text, at)
        self._escaped = at > len(text)

    def written(self, name: str, words: Sequence[str]) -> str:
        """A value as it has to be written here. It is closed in itself, so it does not change what is open."""
        self._word_begins = False
        text = " ".join(words)
        if self._escaped:
            raise _unsafe(name, "behind a backslash")
        if self._here is not None:
            *whole, self._line = (self._line + text).split("\n")
            if any(self._here.ends_with(line) for line in whole):
                raise self._here.cut_short(name)
            self._filled = name
            return self._here.written(text)
        if self._unsure:
            raise _unsafe(name, self._unsure)
        match self._open[-1] if self._open else "(":
            case "'":
                return text.replace("'", "'\\''")
            case '"':
                return re.sub(r'([\\"$`])', r"\\\1", text)
            case "(":
                return " ".join(map(shlex.quote, words))
            case "((" if re.fullmatch(r"-?\d+", text):
                return text
            case place:
                raise _unsafe(name, _PLACES[place])

    def _step(self, text: str, at: int) -> int:
        """Read one character, or a few that belong together; how many."""
        one = text[at]
        if self._here is not None:
            return self._in_body(one)
        inside = self._open[-1] if self._open else ""
        if inside == "#" and one == "\n":
            self._open.pop()
            inside = self._open[-1] if self._open else ""
        if inside == "'":
            return self._until("'", one)
        if inside == "#":
            return 1
        if one == "\\":
            self._word_begins = False
            return 2
        if inside == "$'":
            return self._until("'", one)
        if text.startswith("$(", at):
            return self._begin("((" if text.startswith("$((", at) else "(", 1)
        if one == "`":
            return self._until("`", one) if inside == "`" else self._begin("`")
        if inside == '"':
            return self._until('"', one)
        return self._in_code(text, at, inside)

    def _in_code(self, text: str, at: int, inside: str) -> int:
        """Outside of all quotes."""
        one, begins = text[at], self._word_begins
        self._word_begins = one.isspace() or one in ";&|(<>"
        if one in "\"'":
            return self._begin(one)
        if text.startswith("$'", at):
            return self._begin("$'", 1)
        if one == "(":
            return self._begin("((" if text.startswith("((", at) else "(")
        if one == ")" and inside in {"(", "(("}:
            self._open.pop()
            return len(inside) if text.startswith("))", at) else 1
        if begins and one == "#":
            return self._begin("#")
        if begins and "(" in self._open and re.match(r"case\b", text[at : at + 5]):
            self._unsure = "behind a case in parentheses"
        if one == "\n" and self._announced:
            self._begin_body()
        elif one == "<" and "((" not in self._open:
            return self._redirection(text, at)
        return 1

    def _redirection(self, text: str, at: int) -> int:
        if text.startswith("<<<", at):
            return 3
        found = _HERE_DOCUMENT.match(text, at)
        if found is None:
            if text.startswith("<<", at):
                self._unsure = "behind << without a plain word after it"
            return 1
        self._announced.append(_HereDocument(found[3] or found[5], bool(found[1]), bool(found[2] or found[4])))
        return found.end() - at

    def _begin(self, mark: str, more: int = 0) -> int:
        self._open.append(mark)
        self._word_begins = True
        return len(mark) + (more if mark != "$'" else 0)

    def _until(self, mark: str, one: str) -> int:
        if one == mark:
            self._open.pop()
            self._word_begins = False
        return 1

    def _begin_body(self) -> None:
        self._here = self._announced.pop(0)
        self._line = ""

    def _in_body(self, one: str) -> int:
        assert self._here is not None
        if one != "\n":
            self._line += one
            return 1
        if self._here.ends_with(self._line):
            if self._filled:
                raise self._here.cut_short(self._filled)
            self._here = None
            self._word_begins = True
            if self._announced:
                self._begin_body()
        self._line = self._filled = ""
        return 1


@dataclass(frozen=True, slots=True)
class _HereDocument:
    word: str
    tabs: bool
    quoted: bool

    def ends_with(self, line: str) -> bool:
        """Whether this line closes it."""
        return (line.lstrip("\t") if self.tabs else line) == self.word

    def written(self, text: str) -> str:
        """A value in its body."""
        return text if self.quoted else re.sub(r"([\\$`])", r"\\\1", text)

    def cut_short(self, name: str) -> ValueError:
        """A value makes a line that closes it."""
        return ValueError(
            f"{name} would make a line {self.word!r}, which ends the here-document in which it stands: choose a word "
            "that no value can make"
        )


_PLACES: Final = {
    "`": "between backticks; write $(…) instead",
    "#": "in a comment",
    "$'": "between $' and '; write it outside of the quotes",
    "((": "in arithmetic, where only whole numbers may",
}


def _unsafe(name: str, where: str) -> ValueError:
    return ValueError(
        f"{{{name}}} stands {where}: its value cannot be put there safely. Put it elsewhere, for instance into a "
        f"variable first ({name}={{{name}}}), or quote it yourself and say quote=False"
    )
