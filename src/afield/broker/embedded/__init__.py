"""A broker of our own: what it decides (``core``, ``routing``: pure), AMQP 0-9-1 over sockets (``frames``, ``peer``,
``server``), and the way in for whoever lives in the same process (``local``).

Queues live in memory. Whoever needs them to survive declares them ``confirm_on_ack`` or can fill them again.
"""
