"""A user endpoint: one process for one identity and one configuration. It takes tasks, has them run, sends results."""
