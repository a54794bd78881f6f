"""RabbitMQ as the broker of a service: declares by AMQP, logins and revoking by its management API."""
