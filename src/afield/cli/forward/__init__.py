"""What listens where published packages look for a service, and passes on to where it is."""
