"""What runs in a training pod."""
