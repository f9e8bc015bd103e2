#!/bin/sh
# Makes a Python environment with MLX from PyPI in the folder where breakeven looks for it: on a Mac
# with its GPU, on Linux for the processor.  Installs nothing elsewhere; returns at once when it is
# there.
#
# Usage: mlx-venv.sh              makes it
#        mlx-venv.sh --python     only prints the path of its python
#
# The folder is $XDG_CACHE_HOME/breakeven/mlx, else ~/.cache/breakeven/mlx: 150 MB.  With
# BREAKEVEN_MLX_PYTHON set nothing is made: that Python is used.
set -eu
# shellcheck source=tools/engine-venv.sh
. "$(dirname "$0")/engine-venv.sh"

version=0.32.4

[ $# -le 1 ] || fail "usage: mlx-venv.sh [--python]; found $# arguments"
venv_find mlx
case ${1:-} in
--python)
    printf '%s\n' "${BREAKEVEN_MLX_PYTHON:-$folder/bin/python3}"
    exit 0
    ;;
'') ;;
*) fail "expected --python or nothing; found '$1'" ;;
esac
[ -z "${BREAKEVEN_MLX_PYTHON:-}" ] || exit 0
package='mlx[cpu]'
[ "$(uname -s)" != Darwin ] || package=mlx
[ "$found" != "$package==$version numpy" ] || exit 0
venv_make MLX mlx.core mlx "$package==$version" numpy
