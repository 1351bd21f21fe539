"""What a job will need, told before anything runs. Pure arithmetic; no model is built."""
