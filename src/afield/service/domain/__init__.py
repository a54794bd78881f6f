"""PURE: the records that the service keeps, and what it decides about them."""
