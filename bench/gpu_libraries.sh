#!/bin/bash
# Proves and times the ops on cuDNN and cuBLASLt on a machine with an NVIDIA GPU, from what
# gpu_pack.sh packed:
#
#   bash FOLDER/gpu_libraries.sh FOLDER [SECONDS]
#
# Every case of their ops against the double reference, parity of the five workloads, two equal
# trainings, the step with the libraries beside that with our kernels, and compute-sanitizer.
# What does not fit into SECONDS (300) is left out and said.  All is logged in $OUT (a new folder if
# it is not set).  Exit code 1 if anything failed.
set -u
folder=$(cd "${1:-$(dirname "$0")}" && pwd)
end=$(($(date +%s) + ${2:-300}))
OUT=${OUT:-$(mktemp -d)}
work=$(mktemp -d)
tar -C "$work" -xJf "$folder/breakeven.tar.xz" ||
    python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' \
        "$folder/breakeven.tar.xz" "$work" || exit 1
[ -d "$folder/data" ] && export BREAKEVEN_DATA="$folder/data"
export XDG_CACHE_HOME="$work/cache"
breakeven="$work/bin/breakeven"
failed=0
for library in $(ldd "$breakeven" | awk '/not found/{print $1}'); do
    cp "$work/spare/$library" "$work/bin/lib/"
done

left() { echo $((end - $(date +%s))); }
say() { printf '\n== %s (%s s left)\n' "$*" "$(left)"; }
# run NAME COMMAND…: into $OUT/NAME.log; tells what failed.
run() {
    local name=$1 rest
    shift
    rest=$(left)
    if [ "$rest" -lt 10 ]; then
        echo "left out for lack of time: $name"
        return 2
    fi
    timeout -k 5 "$rest" "$@" >"$OUT/$name.log" 2>"$OUT/$name.err" </dev/null
    local status=$?
    if [ $status -ne 0 ]; then
        failed=1
        echo "FAILED ($status): $name: $(tail -n 3 "$OUT/$name.err" | cut -c1-600)"
    fi
    return $status
}

say "the libraries"
run devices "$breakeven" devices && grep -E "cuda:|lib(cudnn|cublasLt)" "$OUT/devices.log"

say "the plan of cnn-fashion"
run plan "$breakeven" train cnn-fashion --device cuda:0 --library cudnn --dry-run --synthetic
sed -n '/^step/,/^$/p' "$OUT/plan.log"

say "every case of their ops"
run ops "$work/bin/test_gpu_ops" --target cudnn
echo "$(grep -c '^ok' "$OUT/ops.log") right, $(grep -c '^not ok' "$OUT/ops.log") wrong"
grep -A5 '^not ok' "$OUT/ops.log" | head -n 60

say "parity of the five workloads, batch 8, 10 steps"
for w in mlp-mnist cnn-fashion cnn5-fashion cnn-mnist cnn-cifar; do
    run "parity-$w" "$breakeven" parity "$w" --device cuda:0 --engine native --library cudnn \
        --batch 8 --synthetic --format jsonl
    [ $? -eq 2 ] && continue
    echo "$w: $(python3 "$folder/gpu_table.py" parity "$OUT/parity-$w.log" "$OUT/parity-$w.err")"
done

say "two equal trainings"
for turn in 1 2; do
    run "train-$turn" "$breakeven" train cnn-fashion --device cuda:0 --library cudnn --steps 300 \
        --synthetic --export "$OUT/weights-$turn.safetensors"
done
if [ ! -s "$OUT/weights-1.safetensors" ] || [ ! -s "$OUT/weights-2.safetensors" ]; then
    echo "there are no two weights to compare"
elif cmp "$OUT/weights-1.safetensors" "$OUT/weights-2.safetensors"; then
    echo "the weights of both runs are equal"
else
    failed=1
    echo "FAILED: the weights of two runs differ"
fi

say "a step with the libraries and with our kernels"
for case in cnn-fashion:100 cnn5-fashion:100 cnn-mnist:100 mlp-mnist:100 cnn-cifar:100 \
    cnn-fashion:4096 cnn5-fashion:512; do
    for library in native cudnn; do
        name="bench-${case%:*}-${case#*:}-$library"
        run "$name" "$breakeven" bench "${case%:*}" --batch "${case#*:}" --device cuda:0 \
            --engine native --library "$library" --synthetic --time 0.5 --max-time 3 --format jsonl
        [ -s "$OUT/$name.log" ] && python3 -c '
import json, sys
for line in open(sys.argv[2]):
    r = json.loads(line)
    step = r.get("step_s") or {}
    print("%-18s %-7s %9.1f us  %s" % (sys.argv[3], sys.argv[1], 1e6 * (step.get("median") or 0),
                                       r.get("implementation") or r.get("error")))' \
            "$library" "$OUT/$name.log" "$case"
    done
done

sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
if [ -x "$sanitizer" ]; then
    say "compute-sanitizer, three steps"
    run memcheck "$sanitizer" --tool memcheck --error-exitcode 9 "$breakeven" train cnn-fashion \
        --device cuda:0 --library cudnn --steps 3 --limit 400 --synthetic &&
        tail -n 1 "$OUT/memcheck.log"
fi
say "done, failed: $failed; the logs are in $OUT"
exit $failed
