"""The kernel templates, one file an algorithm."""
