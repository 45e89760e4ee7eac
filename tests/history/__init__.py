"""What lists tell of the past, as a file for promtool."""
