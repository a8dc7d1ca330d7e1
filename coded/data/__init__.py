"""Codes on the data itself: encoded before training, and coded while it is shuffled."""
