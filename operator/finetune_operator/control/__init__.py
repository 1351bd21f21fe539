"""Around `reconcile`: which job is visited when, what is observed of it, and how a decision is carried out."""
