"""Which service, and as whom: the files of running services, tokens, environment variables."""
