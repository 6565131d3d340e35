"""Suites, timing and reports of the benchmarks."""
