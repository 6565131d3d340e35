"""A structure-aware fuzzer of ONNX files: `python -m tests.fuzz --mutants 2000 --seed 1`, from the repository's root.

Small models (`seeds`) are changed in ways that their structure suggests (`mutate`), loaded and run in processes of their own (`worker`),
and compared with ONNX Runtime (`judge`). Needs the extra `peers`.
"""

import conftest  # noqa: F401  clconv as it is installed, where the repository's root is on the path
