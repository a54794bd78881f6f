"""What those who run a service need: is it well, what does it do, what did it say, and its copy elsewhere."""
