"""Timing of problems, layers, networks and training steps, alone or against other libraries: `clconv bench`, and `pytest bench`.

`timing` takes times, `contest` sets our runs and the rivals' side by side, `report` holds the rows that come of it; `problems`, `layers`,
`networks`, `training` and `scaling` say what is run, `rivals` how other libraries do the same, `check` and `oracle` what is right,
`machine` and `roofline` what the machine did meanwhile and could do at most.
"""
