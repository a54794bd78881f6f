"""What every test may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The suite starts more than a thousand processes. Where Python was told to write no byte code, each of them compiles
# Afield anew, and each run all tests: minutes. So this run and what it starts write it, where it always is.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# An HTTP client reads all certificates that a machine trusts before it asks anything, 30 to 45 ms each time, and no
# test asks anybody who would show one of those. So tests, and what they start, trust one authority that signed nothing.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("trusted.pem"))

# What is promised there is asserted there; this must be said before anybody imports it.
pytest.register_assert_rewrite("afield.testing")

# Examples are not timed: a machine that is busy with other tests is no failure of this one.
settings.register_profile("afield", deadline=None)
settings.load_profile("afield")


@pytest.fixture(scope="session", autouse=True)
def shared() -> Iterator[None]:
    """What tests of several files share ends with the last of them."""
    yield
    if "tests.databases" in sys.modules:
        sys.modules["tests.databases"].drop_all()
    if "tests.commands" in sys.modules:
        sys.modules["tests.commands"].end_all()


@pytest.fixture
def anyio_backend() -> str:
    """All that waits here is asyncio."""
    return "asyncio"
