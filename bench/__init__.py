"""Races against the real rivals, and the report that writes README's tables."""
