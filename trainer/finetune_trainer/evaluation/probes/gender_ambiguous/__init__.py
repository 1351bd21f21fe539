"""English sentences that do not tell the gender of a person, and the gender that a translation gives them."""
