"""What holds for every test."""

import os

# Two test processes with two threads each on two cores wait for each other at every layer's end:
# one thread a process is several times faster. Set before torch or numpy is first imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# One server for all tests of a process; imported where every test finds it.
from support.s3 import s3  # noqa: E402, F401
