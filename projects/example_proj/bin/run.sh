#!/bin/sh
set -eu

# So small a network trains fastest on one thread, and other numbers of threads round differently.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"

# Outside of an environment, Debian and Ubuntu have no `python`.
python=python
command -v python >/dev/null || python=python3
exec "$python" train.py
