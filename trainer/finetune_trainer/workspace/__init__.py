"""The folder that all stages of a job share, and how URIs become paths."""
