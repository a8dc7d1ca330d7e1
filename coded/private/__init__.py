"""Learning on data that no worker may see."""
