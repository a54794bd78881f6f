"""What others said stands in an endpoint's log, and is not taken for what the endpoint said."""

from __future__ import annotations

import logging

import pytest

from afield.endpoint.host.logs import LogFile


@pytest.fixture
def log(tmp_path):
    """A logger that writes to a log, and what is in that."""
    logger = logging.getLogger("tests.endpoint.host.logs")
    file = LogFile(tmp_path / "endpoint.log")
    logger.addHandler(file)
    logger.propagate = False
    yield logger, lambda: (tmp_path / "endpoint.log").read_text().splitlines()
    logger.removeHandler(file)
    file.close()


def test_what_others_said_never_looks_like_a_record(log):
    logger, written = log
    said = "no licence\n2026-01-01 00:00:00,000 INFO root: starting for root\r\x1b[2K\u202e\u2028end\tof it"
    logger.warning("uep: %s", said)
    first, second = written()
    assert first.endswith("WARNING uep: no licence")
    assert second == "    2026-01-01 00:00:00,000 INFO root: starting for root??[2K??end\tof it"


def test_a_fault_is_one_paragraph_too(log):
    logger, written = log
    try:
        raise ValueError("a\nb")
    except ValueError:
        logger.exception("it has a fault")
    _, *more = written()
    assert more
    assert all(line.startswith("    ") for line in more)
