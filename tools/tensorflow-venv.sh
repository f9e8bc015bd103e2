#!/bin/sh
# Makes a Python environment with TensorFlow from PyPI, which Debian does not have, in the folder
# where breakeven looks for it.  Installs nothing elsewhere; returns at once when it is there.
#
# Usage: tensorflow-venv.sh [cpu|cuda]     makes it; without a word: cpu, or what is there already
#        tensorflow-venv.sh --python       only prints the path of its python
#
# The folder is $XDG_CACHE_HOME/breakeven/tensorflow, else ~/.cache/breakeven/tensorflow: 1.6 GB,
# and several times that with NVIDIA's libraries (cuda).  With BREAKEVEN_TENSORFLOW_PYTHON set
# nothing is made: that Python is used.
set -eu

version=2.21.0
keras='keras==3.15.1;python_version>="3.11" keras==3.12.0;python_version<"3.11"'

fail() {
    printf 'tensorflow-venv: %s\n' "$1" >&2
    exit 1
}

[ $# -le 1 ] || fail "usage: tensorflow-venv.sh [cpu|cuda|--python]; found $# arguments"
case ${XDG_CACHE_HOME:-} in
/*) cache=$XDG_CACHE_HOME ;;
*) cache=${HOME:?expected it to name the folder of the user}/.cache ;;
esac
folder=$cache/breakeven/tensorflow
stamp=$folder/breakeven-stamp
case ${1:-} in
--python)
    printf '%s\n' "${BREAKEVEN_TENSORFLOW_PYTHON:-$folder/bin/python3}"
    exit 0
    ;;
cpu | '') package=tensorflow ;;
cuda) package='tensorflow[and-cuda]' ;;
*) fail "expected cpu, cuda or --python; found '$1'" ;;
esac
[ -z "${BREAKEVEN_TENSORFLOW_PYTHON:-}" ] || exit 0
# PyPI has a smaller one without CUDA for Linux on x86-64 alone.
[ "$package/$(uname -sm)" != 'tensorflow/Linux x86_64' ] || package=tensorflow-cpu

wanted="$package==$version $keras"
found=$(cat "$stamp" 2>/dev/null || true)
case $found in
"$wanted") exit 0 ;;
*"and-cuda"*"==$version $keras") [ -n "${1:-}" ] || exit 0 ;;
esac

# What the caller has set for other Pythons is not for this one, and nothing is imported from the
# folder that the caller is in.
unset PYTHONHOME PYTHONPATH PYTHONINSPECT PYTHONOPTIMIZE PYTHONWARNINGS PYTHONSAFEPATH
cd /

# Debian's python, for which tools/install-deps.sh installs venv.
python=python3
[ ! -x /usr/bin/python3 ] || python=/usr/bin/python3
echo "tensorflow-venv: installing $package $version in $folder (some minutes the first time)" >&2
mkdir -p "$cache/breakeven"
part=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$part"' EXIT
trap 'exit 130' INT TERM
"$python" -m venv "$part" >&2 ||
    fail "'$python -m venv' failed: run tools/install-deps.sh tensorflow (Debian: python3-venv)"
# shellcheck disable=SC2086  # the two of keras are two words
"$part/bin/python3" -m pip --disable-pip-version-check --no-input install -q --no-cache-dir \
    --retries 5 --only-binary :all: "$package==$version" $keras >&2 ||
    fail "pip could not install $package $version: expected a network, and a Python 3.10 to 3.13
(found $("$python" --version 2>&1)); mend what it says above, then run this again"
TF_CPP_MIN_LOG_LEVEL=2 "$part/bin/python3" -c 'import tensorflow' 2>"$part/log" ||
    fail "TensorFlow was installed but cannot be imported: $(tail -n 1 "$part/log")"
printf '%s\n' "$wanted" >"$part/breakeven-stamp"
# One that is used meanwhile keeps its open files.
rm -rf "$folder"
mv "$part" "$folder"
