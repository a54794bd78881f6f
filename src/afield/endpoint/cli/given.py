"""Files that are named in a command; a hyphen is standard input, once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from afield.errors import ConfigurationError

__all__ = ["Given"]

_STDIN: Final = Path("-")
_EXAMPLE: Final = "'{\"max_workers\": 4}'"


class Given:
    """Reads them, and sees that standard input is asked for once."""

    def __init__(self) -> None:
        self._reader: str | None = None

    def text(self, option: str, path: Path) -> str:
        """What is in a file.

        :param option: which names it, for complaints
        :raises ConfigurationError: it cannot be read
        """
        if path == _STDIN:
            if self._reader is not None:
                raise ConfigurationError(
                    f"{self._reader} and {option} are both standard input, and it can be read once: name a file"
                )
            self._reader = option
            return sys.stdin.read()
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path}, given as {option}, cannot be read: {error}") from error

    @staticmethod
    def named(path: Path) -> Path:
        """A file as complaints name it; what a template includes lies beside it."""
        return Path.cwd() / "standard input" if path == _STDIN else path.absolute()

    def options(self, given: str) -> dict[str, Any]:
        """``user_endpoint_config``, written in the command or in a file.

        :raises ConfigurationError: it is no JSON object
        """
        written = given.lstrip().startswith(("{", "[")) or not given.strip()
        text = given if written else self.text("--options", Path(given))
        return self._object("--options", text)

    def json(self, option: str, path: Path | None) -> dict[str, Any] | None:
        """A JSON object; None: nothing was given.

        :raises ConfigurationError: it is none
        """
        return None if path is None else self._object(option, self.text(option, path))

    def yaml(self, option: str, path: Path | None) -> dict[str, Any] | None:
        """Keys and values of YAML; None: nothing was given.

        :raises ConfigurationError: it is something else
        """
        from afield.endpoint.host import marked

        return None if path is None else marked.parse(self.text(option, path), str(path)).data

    @staticmethod
    def _object(option: str, text: str) -> dict[str, Any]:
        try:
            found = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigurationError(f"{option} should be JSON, such as {_EXAMPLE}: {error}") from error
        if not isinstance(found, dict):
            raise ConfigurationError(f"{option} should be a JSON object, such as {_EXAMPLE}")
        return found
