#!/bin/bash
# Proves and times the GPU engine on a machine with an NVIDIA GPU, from what gpu_pack.sh packed:
#
#   bash FOLDER/gpu_steps.sh FOLDER [SECONDS]
#
# Parity of the five workloads, ten epochs of Fashion-MNIST twice and once with the data on the host
# (accuracy, equal weights), the step beside PyTorch's at batches of 100 and 4096, the kernels by
# ncu, NVIDIA's OpenCL, compute-sanitizer.  What does not fit into SECONDS (450) is left out and
# said.  All is logged in $OUT (a new folder if it is not set); a compact table comes last.  Exit
# code 1 if anything failed.
set -u
folder=$(cd "${1:-$(dirname "$0")}" && pwd)
end=$(($(date +%s) + ${2:-450}))
OUT=${OUT:-$(mktemp -d)}
work=$(mktemp -d)
tar -C "$work" -xJf "$folder/breakeven.tar.xz" ||
    python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' \
        "$folder/breakeven.tar.xz" "$work" || exit 1
[ -d "$folder/data" ] && export BREAKEVEN_DATA="$folder/data"
export BREAKEVEN_PYTHON="${BREAKEVEN_PYTHON:-$(command -v python3)}"
export XDG_CACHE_HOME="$work/cache" PYTHONDONTWRITEBYTECODE=1
breakeven="$work/bin/breakeven"
failed=0
for library in $(ldd "$breakeven" | awk '/not found/{print $1}'); do
    echo "this system has no $library: using ours"
    cp "$work/spare/$library" "$work/bin/lib/"
done

left() { echo $((end - $(date +%s))); }
say() { printf '\n== %s (%s s left)\n' "$*" "$(left)"; }
# run NAME SECONDS COMMAND…: into $OUT/NAME.log, with a limit; tells what failed.
run() {
    local name=$1 limit=$2 rest
    shift 2
    rest=$(left)
    if [ "$rest" -lt 15 ]; then
        echo "left out for lack of time: $name"
        return 2
    fi
    [ "$limit" -gt "$rest" ] && limit=$rest
    timeout -k 5 "$limit" "$@" >"$OUT/$name.log" 2>"$OUT/$name.err" </dev/null
    local status=$?
    if [ $status -ne 0 ]; then
        failed=1
        echo "FAILED ($status): $name: $(tail -n 3 "$OUT/$name.err" | cut -c1-600)"
    fi
    return $status
}

say devices
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>&1 | head -n 3
run devices 90 "$breakeven" devices --format table && cat "$OUT/devices.log"

say "parity of the five workloads on cuda:0, batch 8, 10 steps"
workloads="mlp-mnist cnn-fashion cnn5-fashion cnn-mnist cnn-cifar"
for w in $workloads; do
    run "parity-$w" 150 "$breakeven" parity "$w" --device cuda:0 --engine native --format jsonl &
done
wait
for w in $workloads; do
    echo "$w: $(python3 "$folder/gpu_table.py" parity "$OUT/parity-$w.log" "$OUT/parity-$w.err")"
done

say "10 epochs of Fashion-MNIST at batch 100, twice, and with the data on the host"
# train NAME DEVICE WHERE: the weights are $OUT/weights-NAME.safetensors.
train() {
    run "train-$1" 60 "$breakeven" train cnn-fashion --device "$2" --data-on "$3" --epochs 10 \
        --batch 100 --export "$OUT/weights-$1.safetensors" --format jsonl &&
        python3 "$folder/gpu_table.py" train "$OUT/train-$1.log"
}
# equal NAME NAME: they are the same bytes.
equal() {
    local first="$OUT/weights-$1.safetensors" second="$OUT/weights-$2.safetensors"
    if [ ! -s "$first" ] || [ ! -s "$second" ]; then
        echo "there are no two weights to compare: $1, $2"
    elif cmp "$first" "$second"; then
        echo "the weights are equal: $1, $2"
    else
        failed=1
        echo "FAILED: the weights differ: $1, $2"
    fi
}
train 1 cuda:0 device
train 2 cuda:0 device
train host cuda:0 host
equal 1 2
equal 1 host

say "the step beside PyTorch's"
for w in cnn-fashion cnn5-fashion cnn-mnist; do
    run "bench-$w-100" 80 "$breakeven" bench "$w" --batch 100 --device cuda:0 \
        --engine native,torch --time 1 --max-time 5 --format jsonl
done
run bench-host-cnn-fashion-100 80 "$breakeven" bench cnn-fashion --batch 100 --device cuda:0 \
    --data-on host --engine native,torch --time 1 --max-time 5 --format jsonl
run bench-cnn-fashion-4096 80 "$breakeven" bench cnn-fashion --batch 4096 --device cuda:0 \
    --engine native,torch --time 1 --max-time 5 --format jsonl
BREAKEVEN_CUDA_SERIAL=1 run bench-serial-cnn-fashion-100 40 "$breakeven" bench cnn-fashion \
    --batch 100 --device cuda:0 --engine native --time 1 --max-time 4 --format jsonl
for w in mlp-mnist cnn-cifar; do
    run "bench-$w-100" 60 "$breakeven" bench "$w" --batch 100 --device cuda:0 \
        --engine native,torch --time 1 --max-time 4 --format jsonl
done
for w in cnn5-fashion cnn-mnist; do
    run "bench-$w-4096" 80 "$breakeven" bench "$w" --batch 4096 --device cuda:0 \
        --engine native,torch --time 1 --max-time 5 --format jsonl
done

profiler=$(command -v ncu || echo /usr/local/cuda/bin/ncu)
if [ -x "$profiler" ]; then
    say "device time by kernel, 2 steps at batch 100"
    for w in cnn-fashion cnn5-fashion cnn-mnist; do
        run "kernels-$w" 60 "$profiler" --clock-control none --csv \
            --metrics gpu__time_duration.sum "$breakeven" train "$w" --device cuda:0 --steps 2 \
            --batch 100 --limit 200 --synthetic &&
            echo "$w" && python3 "$folder/gpu_table.py" kernels "$OUT/kernels-$w.log"
    done
fi

opencl=$(python3 "$folder/gpu_table.py" opencl "$OUT/devices.log")
if [ -n "$opencl" ]; then
    say "NVIDIA's OpenCL ($opencl) beside CUDA"
    run parity-opencl 60 "$breakeven" parity cnn-fashion --device "$opencl" --engine native \
        --format jsonl
    echo "cnn-fashion: $(python3 "$folder/gpu_table.py" parity "$OUT/parity-opencl.log" \
        "$OUT/parity-opencl.err")"
    train opencl "$opencl" device
    train opencl-host "$opencl" host
    equal opencl opencl-host
    run bench-opencl-cnn5-fashion-512 60 "$breakeven" bench cnn5-fashion --batch 512 \
        --device "cuda:0,$opencl" --engine native --time 1 --max-time 5 --format jsonl
fi

sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
if [ -x "$sanitizer" ]; then
    say "compute-sanitizer"
    for tool in memcheck racecheck; do
        run "$tool" 60 "$sanitizer" --tool $tool --error-exitcode 9 "$breakeven" train cnn-fashion \
            --device cuda:0 --steps 3 --limit 400 && tail -n 1 "$OUT/$tool.log"
    done
fi

say table
python3 "$folder/gpu_table.py" bench "$OUT"/bench-*.log
rm -rf "$work" "$OUT"/weights-*.safetensors
cat "$OUT"/*.log "$OUT"/*.err 2>/dev/null | gzip >"$OUT/all.gz" && rm -f "$OUT"/*.log "$OUT"/*.err
exit $failed
