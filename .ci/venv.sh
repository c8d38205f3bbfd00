# Makes .venv if there is none and installs a requirements file into it, again only when the file has changed.
# Usage, from the repository: . .ci/venv.sh requirements.txt; then use "$python".
python=.venv/bin/python
base=${PYTHON:-python3}
if ! "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "error: Python 3.11 or newer is needed; set PYTHON to it, as in PYTHON=python3.12 $0" >&2
  exit 2
fi
if ! "$python" -m pip --version >/dev/null 2>&1; then # none, or one whose making was interrupted
  rm -rf .venv
  "$base" -m venv .venv || { echo "error: python3 -m venv failed; on Debian: apt install python3-venv" >&2; exit 2; }
fi
if ! cat requirements*.txt | cmp -s - ".venv/installed-$1"; then
  echo "installing $1 into .venv (once)"
  "$python" -m pip install --quiet --disable-pip-version-check -r "$1"
  cat requirements*.txt >".venv/installed-$1"
fi
