"""A core endpoint: what a machine's owner starts. It starts a user endpoint for each configuration that is wanted."""
