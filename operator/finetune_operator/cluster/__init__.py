"""The seam to a cluster: one interface, and its back-ends."""
