"""What several services on one store must agree on: news, whose turn it is, and one at a time."""
