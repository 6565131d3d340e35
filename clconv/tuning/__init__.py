"""Which algorithm, with which parameters, and why."""
