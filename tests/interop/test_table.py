"""The page with all scenarios lists those that there are."""

from __future__ import annotations

from tests.interop.table import CELLS, PAGE, rows_of, scenarios


def test_the_page_lists_every_scenario_and_no_other():
    there = [one.text for _, group in scenarios() for one in group]
    assert len(set(there)) == len(there), "two scenarios say the same of themselves"
    assert list(rows_of(PAGE.read_text("utf-8"))) == there, "run make interop"


def test_what_was_tried_works():
    for text, seen in rows_of(PAGE.read_text("utf-8")).items():
        assert len(seen) == len(CELLS), text
        assert set(seen) <= {"yes", "-", "not tried"}, text
