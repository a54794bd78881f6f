"""Measurements of Afield beside its peers: ``python -m benchmarks``."""
