"""``python -m afield`` is the ``afield`` command."""

from afield.cli.start import main

if __name__ == "__main__":
    main()
