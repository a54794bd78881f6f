"""What travels between the parts, and nothing that waits.

``messages`` are the records; ``v1`` and ``v2`` turn them into message bodies and back; ``codec`` picks by the first
byte; ``commands`` is what the service tells a core endpoint; ``jobs`` is what an endpoint hands to a worker; ``rest``
holds the bodies of the REST API.
"""
