"""One file per command, and the parameters that they share."""
