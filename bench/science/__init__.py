"""The experiments behind the science in bench/README.md; `python -m bench.science` runs them."""

import os

# Before numpy is imported: on small matrices threads spend their time waiting for each other.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")
