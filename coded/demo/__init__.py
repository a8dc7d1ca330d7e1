"""The demo: real digits, a real network, real worker processes of which some fail."""
