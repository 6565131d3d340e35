"""Every kernel under Oclgrind: `python -m tests.oclgrind --shapes 60 --seed 1`, from the repository's root.

Small odd shapes are drawn for every algorithm and pass (`draw`), run in Oclgrind's simulator in processes of their own (`worker`), and
whatever it says of reads and writes outside of buffers, data races and uninitialised values is reported with how to repeat it
(`__main__`). Results are compared with the reference as well. Needs the program `oclgrind` on the PATH (Debian package of that name).
"""

import conftest  # noqa: F401  clconv as it is installed, where the repository's root is on the path
