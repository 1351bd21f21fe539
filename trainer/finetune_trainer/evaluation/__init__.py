"""Decoding, scoring and judging translations."""
