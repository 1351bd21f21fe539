"""What a pod does around a recipe: starts ranks, listens to signals, finds the cause of an end, leaves a result."""
