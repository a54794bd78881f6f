"""What concerns the machine an endpoint is on: its directories, its lock, its name, and how it becomes a daemon."""
