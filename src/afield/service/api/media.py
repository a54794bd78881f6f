"""What kinds of bodies are read (RFC 9110, sections 8.3 and 8.4)."""

from __future__ import annotations

from afield.service.domain import refusals

__all__ = ["check_json"]


def check_json(content_type: str | None, encoding: str | None) -> None:
    """Nothing, if a body may be JSON by what is said of it. Who says nothing means JSON, for nothing else is read here.

    :raises Refusal: it says that it is something else, or compressed
    """
    if encoding is not None and encoding.strip().lower() not in {"", "identity"}:
        raise refusals.media_type_not_supported(
            f"A body encoded as {encoding[:40]!r} is not read here: send it without Content-Encoding."
        )
    if content_type is None:
        return
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if kind not in {"", "application/json"} and not (kind.startswith("application/") and kind.endswith("+json")):
        raise refusals.media_type_not_supported(
            f"This route takes JSON, and the body is said to be {kind[:60]!r}: send Content-Type: application/json."
        )
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"').lower()
        if name.strip().lower() == "charset" and charset not in {"utf-8", "utf8", "us-ascii", "ascii"}:
            raise refusals.media_type_not_supported(
                f"JSON travels as UTF-8 (RFC 8259, section 8.1), and the body is said to be in {charset[:40]!r}."
            )
