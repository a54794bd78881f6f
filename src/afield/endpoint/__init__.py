"""What runs tasks on a machine: a manager that its owner starts, and one user endpoint process per identity and
configuration, with an engine inside.
"""
