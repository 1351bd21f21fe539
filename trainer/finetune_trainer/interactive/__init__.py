"""What somebody asks of a run's model beside its pods, over standard input and output."""
