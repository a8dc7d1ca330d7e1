"""Two notebooks to read and to run, with what they show: one of splines, one of codes."""
