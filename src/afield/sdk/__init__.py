"""What users call, and the one thread behind it."""
