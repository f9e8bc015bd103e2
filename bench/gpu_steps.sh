#!/bin/bash
# Proves and times the GPU engine on a machine with an NVIDIA GPU, from what gpu_pack.sh packed:
#
#   bash FOLDER/gpu_steps.sh FOLDER [SECONDS] [PART…]
#
# The parts, in this order unless some are named:
#
#   times      the step beside PyTorch's, both in one interleaved run
#   opencl     NVIDIA's OpenCL beside CUDA
#   accuracy   ten epochs of Fashion-MNIST twice, and with the data on the host: equal weights
#   parity     the five workloads on CUDA and on OpenCL, and the loss curves of 200 steps
#   sanitizer  compute-sanitizer's memcheck and racecheck
#   search     the step after a search for tiles of 5 seconds, and of 30
#   more       other batches, the data on the host, launches in a row
#   libraries  cuDNN and cuBLASLt: cases, parity, two equal trainings, steps beside our kernels
#   kernels    device time by kernel, by ncu
#
# What does not fit into SECONDS (450) is left out and said.  All is logged in $OUT (a new folder if
# it is not set).  Last comes a table of what was promised, each with PASS, FAIL or NOT MEASURED.
# Exit code 1 if anything failed, 2 if nothing failed and something promised was not measured.
set -u
folder=$(cd "${1:-$(dirname "$0")}" && pwd)
end=$(($(date +%s) + ${2:-450}))
[ $# -gt 2 ] && shift 2 && parts=" $* "
parts=${parts:-" times opencl accuracy parity sanitizer search more libraries kernels "}
OUT=${OUT:-$(mktemp -d)}
work=$(mktemp -d)
tar -C "$work" -xJf "$folder/breakeven.tar.xz" 2>/dev/null ||
    python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' \
        "$folder/breakeven.tar.xz" "$work" || exit 1
[ -d "$folder/data" ] && export BREAKEVEN_DATA="$folder/data"
export BREAKEVEN_PYTHON="${BREAKEVEN_PYTHON:-$(command -v python3)}"
export XDG_CACHE_HOME="$work/cache" PYTHONDONTWRITEBYTECODE=1
breakeven="$work/bin/breakeven"
failed=0
for library in $(ldd "$breakeven" "$work/bin/test_gpu_ops" | awk '/not found/{print $1}' |
    sort -u); do
    echo "this system has no $library: using ours"
    cp "$work/spare/$library" "$work/bin/lib/"
done
workloads="mlp-mnist cnn-fashion cnn5-fashion cnn-mnist cnn-cifar"

left() { echo $((end - $(date +%s))); }
say() { printf '\n== %s (%s s left)\n' "$*" "$(left)"; }
table() { python3 "$folder/gpu_table.py" "$@"; }
# wanted PART TEXT…: is it among the parts?  Then its headline.
wanted() {
    case $parts in *" $1 "*) ;; *) return 1 ;; esac
    shift
    say "$*"
}
# run NAME SECONDS COMMAND…: into $OUT/NAME.log, with a limit; tells what failed.  2: no time.
run() {
    local name=$1 limit=$2 rest
    shift 2
    rest=$(left)
    if [ "$rest" -lt 10 ]; then
        echo "left out for lack of time: $name"
        return 2
    fi
    [ "$limit" -gt "$rest" ] && limit=$rest
    timeout -k 5 "$limit" "$@" >"$OUT/$name.log" 2>"$OUT/$name.err" </dev/null
    local status=$?
    echo $status >"$OUT/$name.status"
    if [ $status -ne 0 ]; then
        failed=1
        echo "FAILED ($status): $name: $(tail -n 3 "$OUT/$name.err" | cut -c1-600)"
    fi
    return $status
}
# bench NAME WORKLOAD BATCH WORD…: the step, on CUDA unless the words name a device.
bench() {
    local name=$1 workload=$2 batch=$3
    shift 3
    case " $* " in *" --device "*) ;; *) set -- "$@" --device cuda:0 ;; esac
    case " $* " in *" --engine "*) ;; *) set -- "$@" --engine native ;; esac
    case " $* " in *" --max-time "*) ;; *) set -- "$@" --time 1 --max-time 4 ;; esac
    run "bench-$name" 80 "$breakeven" bench "$workload" --batch "$batch" --format jsonl "$@"
}
# train NAME WORD…: ten epochs; the weights are $OUT/weights-NAME.safetensors.
train() {
    local name=$1
    shift
    run "train-$name" 60 "$breakeven" train cnn-fashion --epochs 10 --batch 100 \
        --export "$OUT/weights-$name.safetensors" --format jsonl "$@" &&
        table train "$OUT/train-$name.log"
}
# equal NAME NAME: they are the same bytes.  Writes $OUT/equal-NAME-NAME.status.
equal() {
    local first="$OUT/weights-$1.safetensors" second="$OUT/weights-$2.safetensors"
    if [ ! -s "$first" ] || [ ! -s "$second" ]; then
        echo "there are no two weights to compare: $1, $2"
        return
    fi
    cmp "$first" "$second"
    echo $? >"$OUT/equal-$1-$2.status"
    if [ "$(cat "$OUT/equal-$1-$2.status")" = 0 ]; then
        echo "the weights are equal: $1, $2"
    else
        failed=1
        echo "FAILED: the weights differ: $1, $2"
    fi
}
# parities NAME DEVICE WORD…: of the five workloads side by side, batch 8, 10 steps.
parities() {
    local name=$1 device=$2 w
    shift 2
    for w in $workloads; do
        run "parity-$name-$w" 150 "$breakeven" parity "$w" --device "$device" --engine native \
            --format jsonl "$@" &
    done
    wait
    for w in $workloads; do
        echo "$w: $(table parity "$OUT/parity-$name-$w.log" "$OUT/parity-$name-$w.err")"
    done
}

say devices
command -v nvidia-smi >/dev/null &&
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | head -n 3
run devices 90 "$breakeven" devices --format table && cat "$OUT/devices.log"
opencl=${BREAKEVEN_OPENCL_DEVICE:-$(table opencl "$OUT/devices.log")}
[ -n "$opencl" ] || echo "no OpenCL device of NVIDIA's is listed: its promises are not measured"

if wanted times "the step beside PyTorch's"; then
    for w in cnn-fashion cnn5-fashion cnn-mnist; do
        bench "$w-100" "$w" 100 --engine native,torch --time 1 --max-time 5
    done
    bench cnn-fashion-4096 cnn-fashion 4096 --engine native,torch --time 1 --max-time 5
fi

if [ -n "$opencl" ] && wanted opencl "NVIDIA's OpenCL ($opencl) beside CUDA"; then
    bench opencl-cnn5-fashion-512 cnn5-fashion 512 --device "cuda:0,$opencl" --time 1 --max-time 5
    train opencl --device "$opencl"
    train opencl-host --device "$opencl" --data-on host
    equal opencl opencl-host
fi

if wanted accuracy "10 epochs of Fashion-MNIST, twice, and with the data on the host"; then
    train 1 --device cuda:0
    train 2 --device cuda:0
    train host --device cuda:0 --data-on host
    equal 1 2
    equal 1 host
fi

if wanted parity "parity of the five workloads, and the loss curves of 200 steps"; then
    parities cuda cuda:0
    [ -n "$opencl" ] && parities opencl "$opencl"
    # Where the band of 200 steps is wider than the limit of ten, this fails: the table judges it.
    for w in $workloads; do
        run "curve-$w" 150 "$breakeven" parity "$w" --device cuda:0 --engine native --steps 200 \
            --format jsonl >/dev/null &
    done
    wait
    for w in $workloads; do table curve "$OUT/curve-$w.log"; done
fi

sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
if [ -x "$sanitizer" ] && wanted sanitizer "compute-sanitizer, three steps"; then
    for tool in memcheck racecheck; do
        run "$tool" 90 "$sanitizer" --tool $tool --error-exitcode 9 "$breakeven" train cnn-fashion \
            --device cuda:0 --steps 3 --limit 400 && tail -n 1 "$OUT/$tool.log"
    done
fi

if wanted search "the step after a search for tiles"; then
    for case in 5:cnn5-fashion 30:cnn5-fashion 5:cnn-fashion 5:cnn-mnist; do
        XDG_CACHE_HOME="$work/search" BREAKEVEN_TUNE_SECONDS=${case%:*} \
            bench "tuned${case%:*}-${case#*:}-100" "${case#*:}" 100
    done
fi

if wanted more "other batches, the data on the host, launches in a row"; then
    bench host-cnn-fashion-100 cnn-fashion 100 --data-on host --engine native,torch
    BREAKEVEN_CUDA_LANES=1 bench serial-cnn-fashion-100 cnn-fashion 100
    for w in mlp-mnist cnn-cifar; do bench "$w-100" "$w" 100 --engine native,torch; done
    for w in cnn5-fashion cnn-mnist; do bench "$w-4096" "$w" 4096 --engine native,torch; done
fi

if wanted libraries "cuDNN and cuBLASLt"; then
    run ops 60 "$work/bin/test_gpu_ops" --target cudnn
    echo "$(grep -c '^ok' "$OUT/ops.log") right, $(grep -c '^not ok' "$OUT/ops.log") wrong"
    grep -A5 '^not ok' "$OUT/ops.log" | head -n 60
    parities cudnn cuda:0 --library cudnn
    for turn in 1 2; do
        run "train-cudnn-$turn" 60 "$breakeven" train cnn-fashion --device cuda:0 --library cudnn \
            --steps 300 --export "$OUT/weights-cudnn-$turn.safetensors"
    done
    equal cudnn-1 cudnn-2
    for case in cnn-fashion:100 cnn5-fashion:100 cnn-mnist:100 mlp-mnist:100 cnn-cifar:100 \
        cnn-fashion:4096 cnn5-fashion:512; do
        for library in native cudnn; do
            bench "$library-${case%:*}-${case#*:}" "${case%:*}" "${case#*:}" --library $library \
                --time 0.5 --max-time 2
        done
    done
    [ -x "$sanitizer" ] && run memcheck-cudnn 60 "$sanitizer" --tool memcheck --error-exitcode 9 \
        "$breakeven" train cnn-fashion --device cuda:0 --library cudnn --steps 3 --limit 400
fi

profiler=$(command -v ncu || echo /usr/local/cuda/bin/ncu)
if [ -x "$profiler" ] && wanted kernels "device time by kernel, 2 steps at batch 100"; then
    for w in cnn-fashion cnn5-fashion cnn-mnist; do
        run "kernels-$w" 60 "$profiler" --clock-control none --csv \
            --metrics gpu__time_duration.sum "$breakeven" train "$w" --device cuda:0 --steps 2 \
            --batch 100 --limit 200 --synthetic &&
            echo "$w" && table kernels "$OUT/kernels-$w.log"
    done
fi

say "all steps"
table bench "$OUT"/bench-*.log
say "what was promised"
table promises "$OUT"
promised=$?
[ $promised -eq 1 ] && failed=1
rm -rf "$work" "$OUT"/weights-*.safetensors
cat "$OUT"/*.log "$OUT"/*.err 2>/dev/null | gzip >"$OUT/all.gz"
rm -f "$OUT"/*.log "$OUT"/*.err "$OUT"/*.status
[ $failed -eq 0 ] || exit 1
exit $promised
