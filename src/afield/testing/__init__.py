"""Conformance suites for the seams, and what tests of programs that use Afield need."""
