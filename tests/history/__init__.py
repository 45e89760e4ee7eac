"""What lists say about the past, as a file for promtool."""
