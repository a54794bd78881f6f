"""One file for each thing that people and endpoints ask for. No HTTP and no SQL in here."""
