"""``python -m afield.compat script.py arguments…``; see :mod:`afield.compat.script`."""

from afield.compat.script import main

main()  # the last thing here: this module's names are gone when it returns, for __main__ is the script now
