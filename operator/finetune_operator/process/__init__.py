"""The operator's process: settings, leader election, probes, the watches that feed the controller."""
