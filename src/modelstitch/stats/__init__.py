"""What a number is worth: intervals, tests, and the level of chance."""
