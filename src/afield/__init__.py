"""Afield runs Python functions far from where they were written."""
