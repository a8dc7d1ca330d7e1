"""Layers of torch whose rows or channels are coded over workers that hold them."""
