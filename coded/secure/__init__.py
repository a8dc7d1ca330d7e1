"""Products by workers that learn nothing of what they multiply: masks, degree tables, decoders."""
