"""Timing of problems and networks. First rows: `clconv bench conv "..."`, `clconv bench network NAME`, and `pytest bench`."""
