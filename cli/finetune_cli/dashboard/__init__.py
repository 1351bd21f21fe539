"""A page about one run on this machine, and what Prometheus scrapes of it."""
