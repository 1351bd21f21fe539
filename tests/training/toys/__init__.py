"""One small implementation of each kind that a registry knows; `test_extension.py` copies them into the trainer."""
