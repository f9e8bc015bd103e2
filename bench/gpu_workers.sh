#!/bin/bash
# Proves and times trainings by several workers on a machine with as many NVIDIA GPUs, from what
# gpu_pack.sh packed:
#
#   bash FOLDER/gpu_workers.sh FOLDER [N] [SECONDS]       (2 GPUs, 235 s)
#
# One GPU and N train the same with the same batches; N train the same bits twice; a GPU that is
# shared is refused; gpt2 at 16x1024 and resnet50 at 256 a GPU in bf16 on one GPU and on N, beside
# PyTorch's DistributedDataParallel on N, compiled and not.  What the time does not suffice for is
# NOT MEASURED.  Exit code 1 if anything failed.
. "$(dirname "$0")/gpu_begin.sh"
n=${2:-2}
deadline=$((SECONDS + ${3:-235}))
export NCCL_NVLS_ENABLE=0 # also for PyTorch: with NVLink's multicast the machine may hang
table="$OUT/workers.jsonl"
: >"$table"

left() { echo $((deadline - SECONDS)); }

# train SECONDS GPUS LOG OPTION...: a training on that many GPUs.
train() {
    local limit=$1 gpus=$2 log=$3 where="--device cuda:0"
    shift 3
    [ "$gpus" = 1 ] || where="--device cuda --workers $gpus"
    # shellcheck disable=SC2086
    timeout "$limit" "$breakeven" train "$@" $where --synthetic --no-store >"$log" 2>&1
}

# apart FIRST SECOND: the largest difference of two files of weights, of the largest weight.
apart() {
    PYTHONPATH="$work/runners" "$BREAKEVEN_PYTHON" - "$1" "$2" <<'P'
import sys
import numpy as np
import safetensors_io
read = [safetensors_io.read(path) for path in sys.argv[1:]]
largest = max(float(np.abs(x).max()) for x in read[0].values())
print(max(float(np.abs(read[0][k] - read[1][k]).max()) for k in read[0]) / largest)
P
}

same="mlp-mnist --batch 64 --limit 2000 --steps 60"
several="gpt2 --layers 2 --seq 128 --batch 8 --limit 64 --steps 8 --precision bf16"
# shellcheck disable=SC2086
if train 40 1 "$work/log" $same --export "$work/one" &&
    train 40 "$n" "$work/log" $same --export "$work/all"; then
    found=$(apart "$work/one" "$work/all")
    if python3 -c "import sys; sys.exit(not float('$found') <= 2e-6)"; then
        say PASS "mlp-mnist on 1 and on $n GPUs: weights differ by $found of the largest"
    else
        say FAIL "mlp-mnist on 1 and on $n GPUs: weights differ by $found of the largest"
    fi
else
    say FAIL "mlp-mnist on 1 and on $n GPUs: $(tail -n 1 "$work/log" | cut -c1-400)"
fi
# The first run finds the fastest kernels and keeps what it found.
for turn in first a b; do
    # shellcheck disable=SC2086
    train 60 "$n" "$work/log" $several --export "$work/$turn" ||
        say FAIL "gpt2 on $n GPUs: $(tail -n 1 "$work/log" | cut -c1-400)"
done
if cmp -s "$work/a" "$work/b"; then
    say PASS "gpt2 on $n GPUs: the same bits twice"
else
    say FAIL "gpt2 on $n GPUs: two trainings differ"
fi
if CUDA_VISIBLE_DEVICES=0,0 train 30 2 "$work/log" mlp-mnist --limit 200 --steps 1; then
    say FAIL "a GPU was shared by two ranks"
elif grep -qE "same GPU|expected one of the|names a GPU twice" "$work/log"; then
    say PASS "a GPU that is shared is refused"
else
    say FAIL "a GPU that is shared: $(tail -n 1 "$work/log" | cut -c1-400)"
fi

# native WORKLOAD GPUS BATCH: pictures or texts a second of the last of three epochs of 10 steps.
native() {
    local w=$1 gpus=$2 batch=$(($2 * $3))
    [ "$(left)" -gt 25 ] || return 2
    train "$(left)" "$gpus" "$work/$w-$gpus.log" "$w" --batch $batch --limit $((10 * batch)) \
        --epochs 3 --precision bf16 --format jsonl || return 1
    grep '"kind"' "$work/$w-$gpus.log" | tail -n 1 >>"$table"
    tail -n 1 "$table" |
        python3 -c 'import json, sys; print(json.loads(sys.stdin.read())["samples_per_s"])'
}

# ddp WORKLOAD BATCH SECONDS [--compile]
ddp() {
    local w=$1 batch=$2 limit=$3
    shift 3
    [ "$(left)" -gt 20 ] || return 2
    [ "$(left)" -gt "$limit" ] || limit=$(left)
    timeout "$limit" "$BREAKEVEN_PYTHON" -m torch.distributed.run --standalone \
        --nproc-per-node "$n" "$folder/torch_ddp.py" "$work/runners" "$w" "$batch" "$@" \
        >"$work/ddp.log" 2>"$work/ddp.err" || return 1
    grep samples_per_s "$work/ddp.log" | tee -a "$table" |
        python3 -c 'import json, sys; print(json.loads(sys.stdin.read())["samples_per_s"])'
}

# judge WORKLOAD BATCH PERCENT
judge() {
    local w=$1 batch=$2 promised=$3 one all peer form
    one=$(native "$w" 1 "$batch") && all=$(native "$w" "$n" "$batch")
    case $? in
        0) ;;
        1) say FAIL "$w: $(tail -n 1 "$work/$w"-*.log | tail -n 1 | cut -c1-400)"; return ;;
        *) echo "NOT MEASURED $w: no time left"; return ;;
    esac
    python3 - "$w" "$one" "$all" "$n" "$promised" <<'P' || failed=1
import sys
name, one, every, n, promised = sys.argv[1], *map(float, sys.argv[2:])
share = 100 * every / (n * one)
print(f"{'PASS' if share >= promised else 'FAIL'} {name}: 1 GPU {one:.5g}/s, {n:.0f} GPUs "
      f"{every:.5g}/s: {share:.1f} % of {n:.0f} times one, promised {promised:.0f} %")
sys.exit(share < promised)
P
    for form in --compile ""; do
        # shellcheck disable=SC2086
        peer=$(ddp "$w" "$batch" 75 $form)
        case $? in
            0) ;;
            1) echo "NOT MEASURED $w, DDP $form: $(tail -n 1 "$work/ddp.err" | cut -c1-300)"
               continue ;;
            *) echo "NOT MEASURED $w, DDP $form: no time left"; continue ;;
        esac
        if python3 -c "import sys; sys.exit(not $all > $peer)"; then
            say PASS "$w on $n GPUs: native $all/s, DDP $form $peer/s"
        else
            say FAIL "$w on $n GPUs: native $all/s, DDP $form $peer/s"
        fi
    done
}

judge gpt2 16 92
judge resnet50 256 95
cp "$work"/gpt2-"$n".log "$OUT/gpt2.log" 2>/dev/null
cp "$work"/resnet50-"$n".log "$OUT/resnet50.log" 2>/dev/null
exit $failed
