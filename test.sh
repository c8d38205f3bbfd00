#!/usr/bin/env bash
# Run the tests; arguments go to pytest, as in ./test.sh -k audit
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. .ci/venv.sh requirements-dev.txt
"$python" -m ruff check --quiet .
# as many processes as cores, of one thread each
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} "$python" -m pytest -q -n auto "$@"
