"""Adapting a model to a task: its examples, and which weights are trained."""
