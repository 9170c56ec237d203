"""Java's spelling: regular expressions, times, JSON. Nothing else."""
