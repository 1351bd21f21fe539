"""The controller: pure reconcile core, cluster back-ends, watch, progress."""
