#!/bin/sh
# Finds Python 3.11 and runs one of this folder's scripts with it; a machine that will not do is told so in a sentence.
# Usage: [PYTHON=python3.11] sh tools/python.sh SCRIPT [ARGUMENT]… Plain sh: nothing else is certain to be there.
set -u

fail() {
    printf 'tfmeta: %s.\n' "$1" >&2
    exit 1
}

version_of() { # such as 3.11; empty if it does not start, as a version manager's shims may not
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null
}

search_path() { # set python to the first Python 3.11 on the PATH, whatever it is called; seen to what else is there
    set -f
    IFS=:
    for name in python3.11 python3 python; do
        for folder in $PATH; do
            candidate=${folder:-.}/$name
            [ -f "$candidate" ] && [ -x "$candidate" ] || continue
            version=$(version_of "$candidate")
            [ "$version" = 3.11 ] && python=$candidate && return
            [ -n "$version" ] && [ -z "$seen" ] && seen="$candidate is Python $version"
        done
    done
}

system="$(uname -s) $(uname -m)"
[ "$system" = "Linux x86_64" ] ||
    fail "this is $system, but TensorFlow Federated 0.87 exists for Linux x86_64 only: use such a machine, a virtual one or a container"

python=""
seen=""
if [ "${PYTHON:-python3.11}" = python3.11 ]; then
    search_path
    seen=${seen:-no Python is on the PATH}
else
    version=$(version_of "$PYTHON")
    [ "$version" = 3.11 ] && python=$PYTHON
    seen="PYTHON=$PYTHON is ${version:+Python $version}"
    [ -n "$version" ] || seen="PYTHON=$PYTHON is no Python that starts"
fi
[ -n "$python" ] ||
    fail "Python 3.11 is needed (TensorFlow Federated 0.87 runs on no other), but $seen: install it (packages python3.11 and python3.11-venv, or pyenv, or conda), or name it with PYTHON=/path/to/python3.11"

script=${0%/*}/$1
shift
exec "$python" -I "$script" "$@"
