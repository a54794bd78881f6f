"""From a user's options to the settings of a user endpoint: check, render, read.

The owner of a machine writes a Jinja2 template of YAML; whoever submits fills in its variables
(``user_endpoint_config`` of a submit). The template runs in Jinja2's sandbox, a variable that nobody gave is an error,
and every text that comes from a submitter is quoted as JSON before the template sees it: so no option can break out of
its place in the YAML (published behaviour; compare such texts with ``'"x"'`` inside a template). What the machine
itself says, in ``_GC.parent_config``, ``_GC.mapped_identity`` and ``_GC.env``, is not quoted (published too), so that
it can stand in the middle of a path.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import jinja2
import jsonschema
import yaml
from jinja2.sandbox import SandboxedEnvironment
from jsonschema_specifications import REGISTRY
from referencing.exceptions import Unresolvable

from afield.endpoint.host.marked import parse
from afield.endpoint.manager import lines
from afield.endpoint.settings import UserSettings, plain_places, user_settings
from afield.errors import ConfigurationError

__all__ = ["RESERVED", "OptionMissing", "Rendered", "Template", "check_schema", "check_syntax", "load_schema", "render"]

#: Characters beyond the first 65536.
_BEYOND: Final = re.compile("([\U00010000-\U0010ffff])")

#: A key that means itself wherever it stands in YAML.
_HARMLESS: Final = re.compile(r"[\w/]([\w./+ -]*[\w./+-])?")

#: Names that only the endpoint sets.
RESERVED: Final = frozenset({"parent_config", "user_runtime", "mapped_identity", "_GC"})


class OptionMissing(ConfigurationError):  # noqa: N818 - says what it is
    """A template needs an option that has no default and was not given."""


@dataclass(frozen=True, slots=True)
class Template:
    """What an owner wrote for user endpoints.

    :param text: of the template
    :param source: the template's file, for complaints, and for what it includes from its directory
    :param schema: a JSON schema of the options; None: whatever the template takes
    """

    text: str
    source: Path
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a template made of a user's options.

    :param settings: how the user endpoint works
    :param warnings: for people, one line each
    :param text: the YAML
    :param places: where the keys of the engine block stand: ``engine.provider.type`` -> ``file, line N``
    """

    settings: UserSettings
    warnings: list[str]
    text: str
    places: Mapping[str, str]


def render(
    template: Template,
    options: Mapping[str, Any],
    *,
    parent_config: Mapping[str, Any],
    user_runtime: Mapping[str, Any],
    mapped_identity: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
) -> Rendered:
    """The settings that a user's options ask for.

    :param options: what the user gave
    :param parent_config: the manager's settings
    :param user_runtime: the Python and platform of whoever submits
    :param mapped_identity: as whom the tasks run
    :param environment: variables that a template may look at, as ``_GC.env``
    :raises ConfigurationError: an option is reserved, against the schema or of no possible type, or the template is
        broken, lacks a variable, or renders to something that is no configuration
    """
    _check_options(options, template)
    reserved = {
        "parent_config": parent_config,
        "user_runtime": _quoted(user_runtime, "user_runtime"),
        "mapped_identity": mapped_identity,
    }
    variables = {name: _quoted(value, name) for name, value in options.items()}
    name = template.source.name
    text = _rendered(template, {**variables, **reserved, "_GC": {**reserved, "env": environment or {}}})
    place = partial(lines.place, name, template.text.splitlines(), text.splitlines())
    document = parse(text, f"{name} (rendered)", place=place)
    settings, warnings = user_settings(document)
    places = {key: document.line(line) for key, line in plain_places(document.lines).items()}
    return Rendered(settings, warnings, text, places)


def load_schema(path: Path) -> Mapping[str, Any] | None:
    """Read a JSON schema; None when there is no such file.

    :raises ConfigurationError: it is not JSON, or not a schema
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    return check_schema(text, path)


def check_schema(text: str, path: Path) -> Mapping[str, Any]:
    """The JSON schema in a text.

    :param path: its file, for complaints
    :raises ConfigurationError: it is not JSON, or not a schema
    """
    try:
        schema = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{path}, line {error.lineno}: this is not JSON: {error.msg}") from error
    except RecursionError as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if not isinstance(schema, dict):
        raise ConfigurationError(f"{path} should hold a JSON object such as {{}}, and is {_cut(json.dumps(schema))}")
    if not isinstance(schema.get("$schema", ""), str):
        raise ConfigurationError(f"{path} is not a JSON schema: its $schema should be the address of a standard")
    try:
        _kind(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ConfigurationError(f"{path} is not a JSON schema: at {error.json_path}: {error.message}") from error
    except RecursionError as error:
        raise ConfigurationError(f"{path} is not a JSON schema: it goes deeper than anybody can follow") from error
    return schema


def check_syntax(text: str, path: Path) -> None:
    """See that a text is a template; whether it renders depends on what people ask for.

    :param path: its file
    :raises ConfigurationError: it is none; with file and line
    """
    try:
        _environment(path).parse(text)
    except jinja2.TemplateSyntaxError as error:
        raise ConfigurationError(f"{path}, line {error.lineno}: {error.message}") from error


def _kind(schema: Mapping[str, Any]) -> Any:
    """The validator's class for the standard that a schema names; the newest one for all that are not known."""
    return jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _check_options(options: Mapping[str, Any], template: Template) -> None:
    reserved = sorted(RESERVED.intersection(options))
    if reserved:
        raise ConfigurationError(
            f"the option {reserved[0]} is set by the endpoint and cannot be given: remove it from user_endpoint_config"
        )
    if template.schema is None:
        return
    # With this registry, a $ref to somewhere on the network is not fetched: it is an error.
    validator = _kind(template.schema)(template.schema, registry=REGISTRY)
    try:
        error = jsonschema.exceptions.best_match(validator.iter_errors(dict(options)))
    except (Unresolvable, RecursionError) as fault:
        why = "it refers to itself without end" if isinstance(fault, RecursionError) else f"$ref finds nothing: {fault}"
        raise ConfigurationError(
            f"the schema of this endpoint's options is broken, which is for its owner to mend: {why}"
        ) from fault
    if error is not None:
        where = error.json_path.removeprefix("$").removeprefix(".")
        what = f"the option {where}" if where else "what user_endpoint_config holds"
        raise ConfigurationError(f"{what} does not fit this endpoint: {error.message}")


def _quoted(value: Any, name: str) -> Any:
    """A copy in which every text is quoted as JSON."""
    match value:
        case str():
            return _quote(value, name)
        case bool() | int() | float():
            return value
        case Mapping():
            return {_key(key, name): _quoted(part, f"{name}.{key}") for key, part in value.items()}
        case list() | tuple():
            return [_quoted(part, f"{name}[{place}]") for place, part in enumerate(value)]
        case None:
            return "null"  # published: a template that writes it leaves the key unset
    raise ConfigurationError(
        f"the option {name} is {json.dumps(value, default=str)}, which cannot go into a configuration: give a text, a "
        "number, true or false, or a list or mapping of these"
    )


def _key(key: Any, name: str) -> Any:
    """A key inside an option. Templates look values up by it, so it is not quoted: it has to be harmless as it is."""
    if isinstance(key, str) and not _HARMLESS.fullmatch(key):
        raise ConfigurationError(
            f"the option {name} has the key {key!r}, which cannot go into a configuration: a key is made of letters, "
            "digits, spaces and any of . _ / + -"
        )
    return key


def _quote(text: str, name: str) -> str:
    """A text as JSON and as YAML: YAML writes what is beyond the first 65536 characters in another way than JSON."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(f"the option {name} holds half of a character ({error.reason}): {text!r}") from error
    return '"' + "".join(_escaped(part) for part in _BEYOND.split(text)) + '"'


def _escaped(part: str) -> str:
    return f"\\U{ord(part):08x}" if _BEYOND.fullmatch(part) else json.dumps(part)[1:-1]


def _shell_escape(value: Any) -> Any:
    """One word for a shell, inside a quoted text: ``worker_init: {{ command | shell_escape }}``. What is no text stays
    as it is (published).
    """
    if not isinstance(value, str):
        return value
    text = str(value)
    try:
        plain = str(yaml.safe_load(text)) if text.startswith('"') else text
    except yaml.YAMLError as error:
        raise ConfigurationError(f"shell_escape got {text}, which is not one of the options") from error
    return _quote(shlex.quote(plain), "of shell_escape")


def _environment(source: Path) -> SandboxedEnvironment:
    environment = SandboxedEnvironment(
        loader=jinja2.FileSystemLoader(source.parent),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # it makes YAML, and the quoting is done above
    )
    environment.filters["shell_escape"] = _shell_escape
    return environment


def _rendered(template: Template, variables: Mapping[str, Any]) -> str:
    environment = _environment(template.source)
    name = template.source.name
    try:
        return environment.from_string(template.text).render(variables)
    except jinja2.UndefinedError as error:
        raise OptionMissing(
            f"{_where(error, template)} needs something that was not given: {error.message}; give it in "
            "user_endpoint_config"
        ) from error
    except jinja2.TemplateSyntaxError as error:
        raise ConfigurationError(f"{error.name or name}, line {error.lineno}: {error.message}") from error
    except ConfigurationError:
        raise
    except Exception as error:  # an owner's program on somebody's values may raise whatever it likes
        raise ConfigurationError(f"{_where(error, template)} cannot be rendered with these options: {error}") from error


def _where(error: Exception, template: Template) -> str:
    return lines.error_line(error.__traceback__, template.source) or f"the template {template.source.name}"
