#!/bin/sh
# Fetches a oneDNN of major version 3 from PyPI, so that the engine is built and tested against it
# beside the 2.6 of Debian 12.  Installs nothing.  A folder that is whole stays.
#
# Usage: onednn3-root.sh FOLDER        makes FOLDER/include and FOLDER/lib
set -eu

version=2023.2.0 # of the packages; the library is 3.2

fail() {
    printf 'onednn3-root: %s\n' "$1" >&2
    exit 1
}

[ $# -eq 1 ] || fail "usage: onednn3-root.sh FOLDER; found $# arguments"
[ "$(uname -sm)" = 'Linux x86_64' ] || fail "expected Linux on x86-64, found $(uname -sm)"
folder=$1
[ ! -e "$folder/lib/libdnnl.so.3" ] || exit 0

# What the caller has set for other Pythons is not for this one.
unset PYTHONHOME PYTHONPATH PYTHONINSPECT PYTHONOPTIMIZE PYTHONWARNINGS

# Debian's python, for which tools/install-deps.sh installs pip.
python=python3
[ ! -x /usr/bin/python3 ] || python=/usr/bin/python3
rm -rf "$folder"
mkdir -p "$folder/wheels"
"$python" -m pip --disable-pip-version-check --no-input download -q --no-deps \
    --only-binary :all: -d "$folder/wheels" \
    "onednn-cpu-gomp==$version" "onednn-devel-cpu-gomp==$version" >&2 ||
    fail "pip could not fetch oneDNN: expected pip and a network; mend what it says above"
for wheel in "$folder"/wheels/*.whl; do
    "$python" -m zipfile -e "$wheel" "$folder/wheels/unpacked"
done
mv "$folder"/wheels/unpacked/onednn_devel*.data/data/include "$folder/include"
mkdir "$folder/lib.new"
mv "$folder"/wheels/unpacked/onednn_cpu*.data/data/lib/libdnnl.so.3 "$folder/lib.new/"
ln -s libdnnl.so.3 "$folder/lib.new/libdnnl.so"
rm -rf "$folder/wheels"
mv "$folder/lib.new" "$folder/lib"
