#!/bin/sh
# Packs the program for a machine with a GPU that has neither our libraries' headers nor a network:
#
#   bench/gpu_pack.sh [FOLDER]          (.carry if none is named)
#
# builds in build-pack and writes FOLDER/breakeven.tar.xz (the program, the libraries it needs beside
# those of every system, the runners) and, from $BREAKEVEN_DATA, the Fashion-MNIST files.  There,
# bench/gpu_steps.sh FOLDER unpacks and measures.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-.carry}
build=build-pack

[ -d "$build" ] || meson setup "$build" -Dtests=false \
    "-Dc_link_args=['-Wl,-rpath,\$ORIGIN/lib','-Wl,--disable-new-dtags']" >/dev/null
ninja -C "$build" -j"${JOBS:-2}" breakeven >/dev/null

rm -rf "$folder"
mkdir -p "$folder/pack/bin/lib"
cp "$build/breakeven" "$folder/pack/bin/"
strip "$folder/pack/bin/breakeven"
# What every glibc system brings, and what must be that system's own: PyTorch's C++ library, the
# loader of OpenCL.
ldd "$build/breakeven" | awk '/=> \//{print $3}' |
    grep -vE '/(libc|libm|libdl|libpthread|librt|libresolv|libstdc\+\+|libgcc_s|libOpenCL)\.so' |
    while read -r library; do cp -L "$library" "$folder/pack/bin/lib/"; done
cp -r runners "$folder/pack/"
rm -rf "$folder/pack/runners/__pycache__"
tar -C "$folder/pack" -cf - . | xz -T2 -3 >"$folder/breakeven.tar.xz"
rm -rf "$folder/pack"
if [ -n "${BREAKEVEN_DATA:-}" ]; then
    mkdir -p "$folder/data/fashion-mnist"
    cp "$BREAKEVEN_DATA"/fashion-mnist/*.gz "$folder/data/fashion-mnist/"
fi
cp bench/gpu_steps.sh bench/gpu_table.py "$folder/"
du -sh "$folder"
