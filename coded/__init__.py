"""Coded computing: all K outputs from whichever of N workers answered."""
