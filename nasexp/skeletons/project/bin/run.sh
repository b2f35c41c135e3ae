#!/bin/sh
# Put the command that trains here; all of bin/ lies beside it.
set -eu
exec python3 train.py
