#!/bin/sh
# Run a script of this folder with Python 3.11: [PYTHON=...] sh tools/python.sh SCRIPT [ARGUMENT]...
# Without PYTHON, the first Python 3.11 on the PATH is used. Written in plain sh, which every machine has.
set -u

fail() {
    printf 'tfmeta: %s.\n' "$1" >&2
    exit 1
}

version_of() { # for example 3.11; empty if it does not start, like an inactive shim of pyenv
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null
}

system="$(uname -s) $(uname -m)"
[ "$system" = "Linux x86_64" ] ||
    fail "TensorFlow Federated 0.87 runs on Linux x86_64 only and this is $system: use a Linux x86_64 machine or container"

if [ "${PYTHON:-python3.11}" != python3.11 ]; then
    [ "$(version_of "$PYTHON")" = 3.11 ] ||
        fail "PYTHON=$PYTHON is not a working Python 3.11: give the path of one, for example PYTHON=/usr/bin/python3.11"
    exec "$PYTHON" -Es "${0%/*}/$@"
fi
set -f
IFS=:
for name in python3.11 python3 python; do
    for folder in $PATH; do
        candidate=${folder:-.}/$name
        [ -x "$candidate" ] && [ "$(version_of "$candidate")" = 3.11 ] && exec "$candidate" -Es "${0%/*}/$@"
    done
done
fail "no Python 3.11 on the PATH, and TensorFlow Federated 0.87 needs that version: install packages python3.11 and python3.11-venv (or use pyenv or conda), or give its path with PYTHON=/path/to/python3.11"
