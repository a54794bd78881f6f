"""Queues between machines: the seam (``base``), a fake (``memory``), AMQP 0-9-1 (``amqp``), and a server of it
(``embedded``) that a service carries when no RabbitMQ is there.
"""
