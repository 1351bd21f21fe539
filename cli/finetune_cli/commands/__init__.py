"""One file per command, or per few small ones."""
