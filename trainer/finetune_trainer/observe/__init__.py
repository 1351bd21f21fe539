"""What a running stage shows of itself: progress, metrics, times, and how it ends."""
