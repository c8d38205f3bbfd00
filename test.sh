#!/usr/bin/env bash
# Run the tests but those marked slow; arguments go to pytest and choose from all of them, as in ./test.sh -k audit
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. .ci/venv.sh requirements-dev.txt
"$python" -m ruff check --quiet .
[ $# -gt 0 ] || set -- -m "not slow"
# as many processes as cores, of one thread each; a file's tests share their data, so they stay in one process
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} "$python" -m pytest -q -n auto --dist loadfile "$@"
