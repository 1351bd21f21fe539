"""What a scrape of the operator returns: its own metrics, and those of all jobs."""
