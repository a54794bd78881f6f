"""What people see in a browser: drawn on the server, without scripts."""
