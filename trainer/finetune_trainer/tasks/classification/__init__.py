"""Classification: labels of texts, by a head on an encoder or a causal model."""
