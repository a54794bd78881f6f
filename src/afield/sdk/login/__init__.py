"""Which service, and as whom: the files of running services, logins that are kept, tokens, environment variables."""
