"""What somebody asks of runs beside their pods, over standard input and output."""
