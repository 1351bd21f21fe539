"""A page about one run on this machine, and what Prometheus asks of it."""
