"""Generation: answers of an assistant in conversations."""
