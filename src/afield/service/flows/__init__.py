"""Loops that never end. Each is a thin shell over one thing of ``use/``; one that fails ends the service."""
