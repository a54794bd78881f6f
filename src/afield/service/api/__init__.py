"""The HTTP edge: parse, call ``use/``, answer. ``routes`` shows every route on one screen."""
