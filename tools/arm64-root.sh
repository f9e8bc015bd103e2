#!/bin/sh
# Makes a folder of arm64 libraries and headers from Debian's packages, and a cross file for meson,
# so that an x86-64 machine builds for arm64 and runs the tests under qemu.  Installs nothing: the
# system's own packages and package lists stay as they are.  A folder that is whole stays.
#
# Usage: arm64-root.sh FOLDER        makes FOLDER/root and FOLDER/cross.ini
set -eu

packages='libdnnl-dev zlib1g-dev libjansson-dev libhwloc-dev libcurl4-openssl-dev libsqlite3-dev
    nettle-dev libcmocka-dev libc6-dev libgcc-12-dev libgomp1'

fail() {
    printf 'arm64-root: %s\n' "$1" >&2
    exit 1
}

[ $# -eq 1 ] || fail "usage: arm64-root.sh FOLDER; found $# arguments"
if ! command -v apt-get >/dev/null 2>&1 || [ "$(uname -m)" != x86_64 ]; then
    fail "expected Debian on x86-64, found $(uname -sm): build on an arm64 machine instead"
fi
mkdir -p "$1"
folder=$(cd "$1" && pwd)
[ ! -e "$folder/cross.ini" ] || exit 0

state=$folder/apt
rm -rf "$folder/root" "$state"
mkdir -p "$folder/root" "$state/lists/partial" "$state/cache/archives/partial"
: >"$state/status"
cat >"$state/apt.conf" <<END
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "$(id -un)";
Dir::State "$state";
Dir::State::status "$state/status";
Dir::Cache "$state/cache";
END
export APT_CONFIG="$state/apt.conf" DEBIAN_FRONTEND=noninteractive

apt-get -qq update >&2 ||
    fail "apt-get update failed for arm64: expected a network and Debian's lists"
# shellcheck disable=SC2086  # a list of words
apt-get -qq -y --download-only --no-install-recommends install $packages >/dev/null ||
    fail "apt-get could not fetch the arm64 packages: mend what it says above and run this again"
for package in "$state"/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$folder/root"
done
rm -rf "$state"

cat >"$folder/cross.ini.new" <<END
[constants]
root = '$folder/root'
[binaries]
c = ['aarch64-linux-gnu-gcc', '--sysroot=' + root]
ar = 'aarch64-linux-gnu-ar'
strip = 'aarch64-linux-gnu-strip'
pkgconfig = 'pkg-config'
exe_wrapper = ['qemu-aarch64', '-L', root]
[properties]
sys_root = root
pkg_config_libdir = root / 'usr/lib/aarch64-linux-gnu/pkgconfig:' + root / 'usr/share/pkgconfig'
[host_machine]
system = 'linux'
cpu_family = 'aarch64'
cpu = 'aarch64'
endian = 'little'
END
mv "$folder/cross.ini.new" "$folder/cross.ini"
