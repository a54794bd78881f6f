"""The kinds of values that an owner's files hold. Each says in its description what it should be, for complaints."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta

__all__ = ["LEAST_PERIOD_S", "Accelerators", "Block", "Count", "Flag", "Id", "Ids", "Names", "Period", "Port", "Ports",
           "Positive", "Seconds", "Some", "Text", "Texts"]  # fmt: skip

#: Seconds between two signs of life at least (published).
LEAST_PERIOD_S: Final = 5.0

Text = Annotated[str, Meta(description="text")]
Flag = Annotated[bool, Meta(description="true or false")]
Count = Annotated[int, Meta(ge=0, description="a whole number from 0 up")]
Some = Annotated[int, Meta(ge=1, description="a whole number from 1 up")]
Positive = Annotated[float, Meta(gt=0, description="a number above 0")]
Port = Annotated[int, Meta(ge=1, le=65535, description="a port number from 1 to 65535")]
Ports = Annotated[tuple[Port, Port], Meta(description="two port numbers such as [54000, 55000]")]
Period = Annotated[float, Meta(ge=LEAST_PERIOD_S, le=86_400, description="a number of seconds from 5 to 86400")]
Seconds = Annotated[float, Meta(ge=0, le=86_400, description="a number of seconds from 0 to 86400")]
Accelerators = Annotated[
    Annotated[int, Meta(ge=0, le=1024)] | tuple[int | str, ...],
    Meta(description='how many accelerators there are, up to 1024, or a list of their names such as ["0", "1"]'),
]
Names = Annotated[tuple[str, ...], Meta(description="a list of texts")]
#: One text, or several.
Texts = Annotated[str | tuple[str, ...], Meta(description="a text or a list of texts")]
#: What is checked by whoever makes something of it.
Block = Annotated[dict[str, Any], Meta(description="a block of keys")]
Id = Annotated[
    str,
    Meta(pattern="^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$", description="an id"),
]
Ids = Annotated[tuple[Id, ...], Meta(description="a list of ids like 4b116d3c-1703-4f8f-9f6f-39921e5864df")]
