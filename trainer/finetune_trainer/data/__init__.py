"""From corpora to memory-mapped token columns."""
