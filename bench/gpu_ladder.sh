#!/bin/bash
# Proves and times the ladder on a machine with an NVIDIA GPU, from what gpu_pack.sh packed:
#
#   bash FOLDER/gpu_ladder.sh FOLDER [WORKLOAD...]
#   PRECISION=bf16 bash FOLDER/gpu_ladder.sh FOLDER      (fp32 where it is unset)
#   LIBRARY=cudnn bash FOLDER/gpu_ladder.sh FOLDER       (as --library; in bf16 and tf32 not needed)
#
# In bf16 and tf32 first every case of attention, linear layers and products on the card's own
# cuDNN and cuBLASLt, and who computes attention.
# Of each workload: parity of its gate's variant with the reference in double, a step of a small
# variant twice, which must give the same bytes, and the step beside PyTorch's; then the quick page.
# About ten minutes; with BENCH=no, about three, and only the quick page is timed.  Exit code 1 if
# anything failed.
. "$(dirname "$0")/gpu_begin.sh"
shift
precision=${PRECISION:-fp32}
library=${LIBRARY:+--library $LIBRARY}
workloads=${*:-resnet18-cifar resnet18 resnet50 encoder clip bert-base gpt2}

# small WORKLOAD: the options of a variant that trains in seconds.
small() {
    case "$1" in
        resnet18-cifar) echo "--size 32" ;;
        resnet*) echo "--size 64" ;;
        clip*) echo "--layers 1 --seq 24 --size 64 --vocab 1024" ;;
        *) echo "--layers 2 --seq 64 --vocab 2048" ;;
    esac
}

if [ "$precision" != fp32 ]; then
    ops=attention,attention_backward,linear,linear_backward,matmul
    if timeout 120 "$work/bin/test_gpu_ops" --target cudnn --op "$ops" >"$OUT/ops.log" 2>&1; then
        say PASS "ops on cuDNN and cuBLASLt: $(grep -c '^ok' "$OUT/ops.log") cases"
    else
        say FAIL "ops on cuDNN and cuBLASLt: $(grep -A 3 '^not ok' "$OUT/ops.log" | head -n 12)"
    fi
    "$breakeven" train gpt2 --synthetic --device cuda:0 --precision "$precision" --dry-run |
        grep attention | awk '{print $2, $3, $4}' | sort | uniq -c
fi

for w in $workloads; do
    if timeout 120 "$breakeven" parity "$w" --synthetic --device cuda:0 --engine native \
        --precision "$precision" $library \
        --format jsonl >"$OUT/parity-$w.jsonl" 2>"$OUT/parity-$w.err"; then
        say PASS "parity $w: $(largest "$OUT/parity-$w.jsonl")"
    else
        reason=$(tail -n 2 "$OUT/parity-$w.err" | cut -c1-400)
        say FAIL "parity $w: $(largest "$OUT/parity-$w.jsonl") $reason"
    fi
    for turn in 1 2; do
        # shellcheck disable=SC2046
        timeout 60 "$breakeven" dump "$w" --synthetic --device cuda:0 --batch 4 $(small "$w") \
            --precision "$precision" $library \
            -o "$work/$w-$turn.safetensors" >"$OUT/dump-$w.log" 2>&1 ||
            say FAIL "dump $w: $(tail -n 2 "$OUT/dump-$w.log" | cut -c1-400)"
    done
    if cmp -s "$work/$w-1.safetensors" "$work/$w-2.safetensors"; then
        say PASS "step of $w: the same bytes twice"
    else
        say FAIL "step of $w: two differ"
    fi
    [ "${BENCH:-yes}" = yes ] || continue
    timeout 150 "$breakeven" bench "$w" --synthetic --device cuda:0 --engine native,torch \
        --precision "$precision" $library \
        --time 0.5 --max-time 4 >"$OUT/bench-$w.log" 2>&1 || say FAIL "bench $w"
    cat "$OUT/bench-$w.log"
done
[ "$precision" = fp32 ] || exit $failed
time COLUMNS=100 "$breakeven" | tail -n 40
exit $failed
