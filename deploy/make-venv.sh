#!/usr/bin/env bash
# Makes the virtual environment, or says what this machine lacks: make-venv.sh PYTHON VENV
set -euo pipefail
python=$1 venv=$2
if ! command -v "$python" >/dev/null 2>&1; then
  echo "error: '$python' is not on the PATH. Install Python 3.11 or newer (Debian: apt-get install python3 python3-venv) or run make PYTHON=/path/to/python3." >&2
  exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "error: $("$python" --version) is too old; Python 3.11 or newer is needed. Point to one with make PYTHON=/path/to/python3.11." >&2
  exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  echo "error: this Python cannot make virtual environments. Debian and Ubuntu: apt-get install python3-venv." >&2
  exit 1
fi
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --upgrade "pip>=25"
