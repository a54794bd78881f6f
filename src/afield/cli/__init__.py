"""The ``afield`` command: what users need, and room for what higher floors hang in."""
