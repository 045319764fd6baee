#!/bin/sh
# Run a script of this folder with Python 3.11: [PYTHON=...] sh tools/python.sh SCRIPT [ARGUMENT]...
# Without PYTHON, the first of some usual names that is one is used; an inactive shim of pyenv, for example, is not.

others=$([ -n "$PYTHON" ] || echo python3 python /usr/bin/python3.11)
for python in "${PYTHON:-python3.11}" $others; do
    if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null </dev/null; then
        exec "$python" -Es "${0%/*}/$@"
    fi
done
echo "tfmeta: TensorFlow Federated 0.87 needs Python 3.11 on Linux x86_64, and ${PYTHON:-none on the PATH} is not one:" \
    "install packages python3.11 and python3.11-venv (or use pyenv or conda), or give its path with PYTHON=/path." >&2
exit 1
