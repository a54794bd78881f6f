"""SEAM: where an endpoint runs tasks. ``base`` holds the promises; each engine is one file."""
