"""What columns are made of, and where the tables are gathered (:mod:`.tables` says by which rules)."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Integer, LargeBinary, MetaData, Text

__all__ = ["a_count", "a_flag", "a_key", "a_text", "a_time", "json", "metadata", "some_bytes"]

#: all tables
metadata = MetaData()


def a_key(name: str, *, primary: bool = False, null: bool = False) -> Column[bytes]:
    """An id (:mod:`.keys`), or another short and unique thing."""
    return Column(name, LargeBinary, primary_key=primary, nullable=null)


def json(name: str, *, null: bool = False) -> Column[str]:
    """What is only read back whole."""
    return Column(name, Text, nullable=null)


def a_text(name: str, *, primary: bool = False, null: bool = False) -> Column[str]:
    """What people, or other services, call things."""
    return Column(name, Text, primary_key=primary, nullable=null)


def a_time(name: str, *, null: bool = False) -> Column[float]:
    """Unix seconds, or seconds."""
    return Column(name, Double, nullable=null)


def a_count(name: str) -> Column[int]:
    """A number that stays small."""
    return Column(name, Integer, nullable=False)


def a_flag(name: str) -> Column[bool]:
    """Yes or no."""
    return Column(name, Boolean, nullable=False)


def some_bytes(name: str, *, null: bool = False) -> Column[bytes]:
    """What nobody looks for."""
    return Column(name, LargeBinary, nullable=null)
