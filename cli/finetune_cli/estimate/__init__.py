"""What a job will need, computed before anything runs. Pure arithmetic; no model is built."""
