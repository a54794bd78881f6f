"""Where the time of one of our tasks goes: every part of its way measured by itself."""
