"""How the networks that come with the packages were trained."""
