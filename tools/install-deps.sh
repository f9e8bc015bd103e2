#!/bin/sh
# Installs what breakeven needs and this machine lacks; returns at once when nothing is missing.
#
# Usage: install-deps.sh [--list] GROUP...
#   build   to build the program
#   test    to build and run the unit tests
#   peers   PyTorch, which the native engine is compared with; nothing where the Python that would
#           be measured has one of its own
#   wheel   to make a wheel with tools/wheel.sh
#   tensorflow to make TensorFlow's own environment with tools/tensorflow-venv.sh
#   mlx     to make MLX's own environment with tools/mlx-venv.sh, and what MLX compiles with
#   check   clang: format, fuzzing, the sanitizers of clang
#   arm64   to build for arm64 on another machine and run that
#   browser Chromium and what drives it, for the tests of the page; nothing where it is no plain
#           package of the system's
#   onednn3 to fetch the newer of the two oneDNN that the engine is tested with
#   --list  only print what is missing, one package a line
#
# Debian and Ubuntu: installs with apt-get, as root or through sudo.  macOS: names the Homebrew
# packages.  Elsewhere, or with BREAKEVEN_DEPS=skip: installs nothing, see the text it prints.
# "a|b" in a list: the first of the two that the system offers.
set -eu

apt_packages() {
    case $1 in
    build) echo gcc libc6-dev make meson ninja-build pkg-config libdnnl-dev zlib1g-dev \
        libjansson-dev libhwloc-dev libcurl4-openssl-dev nettle-dev \
        libsqlite3-dev libmicrohttpd-dev ;;
    # PoCL: OpenCL on the processor, for the tests of the kernels where there is no GPU.  Both MPIs,
    # which stand side by side: the program has a plugin for each of those that are there.
    test) echo git libcmocka-dev python3 python3-numpy ocl-icd-libopencl1 pocl-opencl-icd \
        libclblast1 openmpi-bin libopenmpi-dev mpich libmpich-dev patchelf python3-venv \
        python3-pip python3-cloudpickle ;;
    wheel) echo patchelf python3 ;;
    # Without libopenblas0-pthread Debian's PyTorch runs on the reference BLAS, many times slower.
    peers) echo python3 python3-numpy python3-torch libopenblas0-pthread ;;
    tensorflow) echo python3 python3-venv ;;
    mlx) echo python3 python3-venv g++ ;;
    check) echo git python3 clang-14 clang-format-14 'libclang-rt-14-dev|libclang-common-14-dev' \
        libomp-14-dev ;;
    arm64) echo gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user ;;
    onednn3) echo python3 python3-pip ;;
    browser) ! grep -qs '^ID=debian' /etc/os-release || echo chromium chromium-driver \
        python3-selenium ;;
    *) return 1 ;;
    esac
}

brew_packages() {
    case $1 in
    build) echo meson ninja pkgconf onednn jansson hwloc nettle sqlite libmicrohttpd libomp ;;
    test) echo cmocka python numpy ;;
    peers) echo pytorch ;;
    tensorflow | mlx) echo python ;;
    check) echo llvm clang-format ;;
    arm64 | onednn3 | browser | wheel) ;;
    *) return 1 ;;
    esac
}

fail() {
    printf 'install-deps: %s\n' "$1" >&2
    exit 1
}

# missing_apt PACKAGE...: those that dpkg does not have, alternatives resolved.
missing_apt() {
    # shellcheck disable=SC2046  # split into words on purpose
    installed=" $(dpkg-query -W -f '${Package}:${db:Status-Status} ' $(echo "$*" | tr '|' ' ') \
        2>/dev/null || true)"
    for package in "$@"; do
        case " $missing " in *" $package "*) continue ;; esac
        found=no
        for choice in $(echo "$package" | tr '|' ' '); do
            case $installed in *" $choice:installed "*) found=yes ;; esac
        done
        [ $found = yes ] || missing="$missing $package"
    done
}

# missing_brew PACKAGE...: those that have no folder below Homebrew's opt.
missing_brew() {
    prefix=${HOMEBREW_PREFIX:-}
    [ -n "$prefix" ] || { [ -d /opt/homebrew ] && prefix=/opt/homebrew || prefix=/usr/local; }
    for package in "$@"; do
        [ -d "$prefix/opt/$package" ] || missing="$missing $package"
    done
}

# choose PACKAGE|PACKAGE: the first that apt knows.
choose() {
    for choice in $(echo "$1" | tr '|' ' '); do
        if apt-cache show "$choice" >/dev/null 2>&1; then
            echo "$choice"
            return
        fi
    done
    echo "${1%%|*}"
}

# as_root COMMAND...: runs it as root, or says what to do.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif ! command -v sudo >/dev/null 2>&1; then
        fail "expected to be root or to have sudo, found user $(id -un) without sudo.
Missing:$missing
As root, run:  apt-get install --no-install-recommends$missing"
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@" || fail "'sudo -n $*' failed: there is no terminal to ask for a password on.
As root, run:  apt-get install --no-install-recommends$missing"
    fi
}

# What apt and dpkg say on their way is left out; what goes wrong they say on stderr.
apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
        -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@" </dev/null >/dev/null
}

install_apt() {
    echo "install-deps: installing (a few minutes the first time):$missing" >&2
    # An update that fails is no end: the lists may hold the packages already.
    apt_get update ||
        echo "install-deps: apt-get update failed, going on with the old lists" >&2
    chosen=
    for package in $missing; do
        chosen="$chosen $(choose "$package")"
    done
    # shellcheck disable=SC2086
    apt_get install --no-install-recommends -y $chosen ||
        fail "apt-get could not install:$chosen
Expected a network and a Debian 12 or Ubuntu 22.04 or later with its 'main' and 'universe' parts.
Mend what apt-get says above, then run the same command again."
}

# python_has PYTHON: prints where its PyTorch is; fails if it has none.  In a folder that is
# nobody's, so that nothing is imported from the one that the caller is in.
python_has() {
    (cd / && unset PYTHONHOME PYTHONINSPECT && "$1" -c 'import importlib.util, sys
origin = getattr(importlib.util.find_spec("torch"), "origin", None)
sys.exit(1) if origin is None else print(origin)' </dev/null 2>/dev/null)
}

# pythons: those that breakeven asks, in its order (src/run/python.h), one per line.
pythons() {
    for folder in "${VIRTUAL_ENV:+$VIRTUAL_ENV/bin}" "${CONDA_PREFIX:+$CONDA_PREFIX/bin}"; do
        echo "$folder"
    done
    echo "${PATH:-}:/usr/bin" | tr ':' '\n'
}

# has_own_torch: whether the PyTorch that breakeven will measure is not one of Debian's packages: a
# Python that the user named, or the first that has it, has it from elsewhere.
has_own_torch() {
    [ -z "${BREAKEVEN_PYTHON:-}" ] || return 0
    first=$(pythons | while IFS= read -r folder; do
        python=$folder/python3
        [ -x "$python" ] || python=$folder/python
        case $folder in /*) ;; *) continue ;; esac
        if [ -x "$python" ] && python_has "$python"; then break; fi
    done)
    case $first in '' | /usr/lib/python3/dist-packages/*) return 1 ;; esac
}

list_only=no
if [ "${1:-}" = --list ]; then
    list_only=yes
    shift
fi
groups='build test peers wheel tensorflow mlx check arm64 onednn3 browser'
[ $# -gt 0 ] || fail "expected one or more of: $groups; found no group"

if [ -r /etc/debian_version ] && command -v dpkg-query >/dev/null 2>&1; then
    system=apt
elif [ "$(uname -s)" = Darwin ]; then
    system=brew
else
    system=other
fi

wanted=
for group in "$@"; do
    [ "$group" != peers ] || ! has_own_torch || continue
    case $system in
    brew) packages=$(brew_packages "$group") ;;
    *) packages=$(apt_packages "$group") ;;
    esac || fail "expected a group of: $groups; found '$group'"
    wanted="$wanted $packages"
done

missing=
# shellcheck disable=SC2086
case $system in
apt) missing_apt $wanted ;;
brew) missing_brew $wanted ;;
esac

if [ $list_only = yes ]; then
    for package in $missing; do echo "$package"; done
    exit 0
fi
[ "${BREAKEVEN_DEPS:-}" != skip ] || exit 0
case $system in
apt) [ -z "$missing" ] || install_apt ;;
brew) [ -z "$missing" ] || fail "missing:$missing
Run:  brew install$missing" ;;
other) fail "expected Debian, Ubuntu or macOS, found $(uname -s) without dpkg.
Install the packages that Debian calls:$wanted
Then run make again with BREAKEVEN_DEPS=skip." ;;
esac
