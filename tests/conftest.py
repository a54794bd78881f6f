"""What every test may use."""

from __future__ import annotations

import pytest
from hypothesis import settings

# What is promised there is asserted there; this must be said before anybody imports it.
pytest.register_assert_rewrite("afield.testing")

# Examples are not timed: a machine that is busy with other tests is no failure of this one.
settings.register_profile("afield", deadline=None)
settings.load_profile("afield")


@pytest.fixture
def anyio_backend() -> str:
    """All that waits here is asyncio."""
    return "asyncio"
