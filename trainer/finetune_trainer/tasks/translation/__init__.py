"""Translation: zero- and one-shot prompts of sentence pairs, with retrieved fuzzy matches (Moslem et al. 2023)."""
