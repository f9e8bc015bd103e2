#!/bin/sh
# Packs the program for a machine with a GPU that has neither our libraries' headers nor a network:
#
#   bench/gpu_pack.sh [FOLDER]          (.carry if none is named)
#
# builds in build-pack and writes FOLDER/breakeven.tar.xz (the program, the libraries it needs, the
# runners) and, from $BREAKEVEN_DATA, the Fashion-MNIST files, with CIFAR=yes also CIFAR-10's.
# There, gpu_steps.sh unpacks it and measures.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-.carry}
build="build-pack"

[ -e "$build/build.ninja" ] || meson setup "$build" -Dtests=true \
    "-Dc_link_args=['-Wl,-rpath,\$ORIGIN/lib','-Wl,--disable-new-dtags']" >/dev/null
meson configure "$build" -Dtests=true >/dev/null
ninja -C "$build" -j"${JOBS:-2}" breakeven tests/test_gpu_ops >/dev/null

rm -rf "$folder"
mkdir -p "$folder/pack/bin/lib"
cp "$build/breakeven" "$folder/pack/bin/"
cp "$build/tests/test_gpu_ops" "$folder/pack/bin/"
strip "$folder/pack/bin/breakeven" "$folder/pack/bin/test_gpu_ops"
# Not glibc.  PyTorch's C++ library and the loader of OpenCL should be that system's own: they are
# spare, and taken only where it has none.
mkdir "$folder/pack/spare"
ldd "$build/breakeven" "$build/tests/test_gpu_ops" | awk '/=> \//{print $3}' | sort -u |
    grep -vE '/(libc|libm|libdl|libpthread|librt|libresolv)\.so' | while read -r library; do
    case "$library" in
        */libstdc++* | */libgcc_s* | */libOpenCL*) cp -L "$library" "$folder/pack/spare/" ;;
        *) cp -L "$library" "$folder/pack/bin/lib/" ;;
    esac
done
cp -r runners "$folder/pack/"
rm -rf "$folder/pack/runners/__pycache__"
tar -C "$folder/pack" -cf - . | xz -T2 -3 >"$folder/breakeven.tar.xz"
rm -rf "$folder/pack"
if [ -n "${BREAKEVEN_DATA:-}" ]; then
    mkdir -p "$folder/data/fashion-mnist"
    cp "$BREAKEVEN_DATA"/fashion-mnist/*.gz "$folder/data/fashion-mnist/"
    # A little less than 35 MB: for gpu_accuracy.sh alone.
    [ "${CIFAR:-no}" = no ] || cp -r "$BREAKEVEN_DATA/cifar-10" "$folder/data/"
fi
cp bench/gpu_*.sh bench/gpu_table.py bench/torch_ddp.py bench/torch_training.py \
    examples/mymodel.py "$folder/"
du -sh "$folder"
