"""Is this machine's OpenCL fit for the library? What there is, whether it computes right, how fast it is, and what to do about the rest.

`platforms` lists what OpenCL and the operating system say, `problems` what is tried, `ward` tries it in a process of its own,
`conformance` and `measure` ask the ward, `advice` says what is wrong in plain words, `report` writes it down without private data.
What failed is remembered by `clconv.tuning.failures`, which `select` reads.
"""
