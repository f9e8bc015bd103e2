#!/bin/sh
# Makes a wheel for pip: the program with the libraries that it needs, its runners, and `import
# breakeven` (python/).  For Linux on x86-64; it installs on systems whose C library is at least as
# new as the one here.  Nothing is published: the file is the result, and its path is printed.
#
# Usage: tools/wheel.sh [--build BUILD] [FOLDER]
#   --build BUILD  take the program of this build; without it one is made in build-wheel
#   FOLDER         where the wheel goes (dist)
set -eu

fail() {
    printf 'wheel: %s\n' "$1" >&2
    exit 1
}

source=$(cd "$(dirname "$0")/.." && pwd)
build=
out=dist
while [ $# -gt 0 ]; do
    case $1 in
    --build)
        [ $# -gt 1 ] || fail "--build needs a folder: --build build"
        build=$2
        shift
        ;;
    -*) fail "expected --build BUILD or a folder, found $1" ;;
    *) out=$1 ;;
    esac
    shift
done

[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] ||
    fail "expected Linux on x86-64, found $(uname -s) on $(uname -m); build from source there"
command -v patchelf >/dev/null 2>&1 ||
    fail "expected patchelf, which sets where the libraries are looked for, found none; run
tools/install-deps.sh wheel"
if [ -z "$build" ]; then
    build=$source/build-wheel
    [ -f "$build/build.ninja" ] || meson setup "$build" "$source" -Dtests=false >&2
    ninja -C "$build" breakeven >&2
fi
[ -x "$build/breakeven" ] ||
    fail "expected the program in $build, found none; build it: ninja -C $build"
mkdir -p "$out"
exec python3 "$source/tools/wheel.py" "$source" "$build/breakeven" "$out"
