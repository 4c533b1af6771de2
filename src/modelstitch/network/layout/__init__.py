"""What the axes of a value mean: samples, channels, positions."""
