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
# shellcheck source=tools/engine-venv.sh
. "$(dirname "$0")/engine-venv.sh"

version=2.21.0
keras='keras==3.15.1;python_version>="3.11" keras==3.12.0;python_version<"3.11"'

[ $# -le 1 ] || fail "usage: tensorflow-venv.sh [cpu|cuda|--python]; found $# arguments"
venv_find tensorflow
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

case $found in
"$package==$version $keras") exit 0 ;;
*"and-cuda"*"==$version $keras") [ -n "${1:-}" ] || exit 0 ;;
esac
# shellcheck disable=SC2086  # the two of keras are two words
venv_make TensorFlow tensorflow tensorflow "$package==$version" $keras
