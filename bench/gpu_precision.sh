#!/bin/bash
# Proves and times tf32 and bf16 on a machine with an NVIDIA GPU, from what gpu_pack.sh packed:
#
#   bash FOLDER/gpu_precision.sh FOLDER
#
# Of the five workloads in fp32, tf32 and bf16: parity with the reference in double, two trainings
# of 50 steps that must give the same bytes, and the step beside PyTorch's (cnn5-fashion and
# mlp-mnist, batch 512).  About four minutes.  All is logged in $OUT (a new folder if it is unset).
# Exit code 1 if anything failed.
. "$(dirname "$0")/gpu_begin.sh"

for precision in fp32 tf32 bf16; do
    for w in mlp-mnist cnn-fashion cnn5-fashion cnn-mnist cnn-cifar; do
        name="$w-$precision"
        if "$breakeven" parity "$w" --device cuda:0 --engine native --precision $precision \
            --format jsonl >"$OUT/parity-$name.jsonl" 2>"$OUT/parity-$name.err"; then
            say PASS "parity $name: $(largest "$OUT/parity-$name.jsonl")"
        else
            reason=$(tail -n 2 "$OUT/parity-$name.err" | cut -c1-400)
            say FAIL "parity $name: $(largest "$OUT/parity-$name.jsonl") $reason"
        fi
        for turn in 1 2; do
            "$breakeven" train "$w" --device cuda:0 --precision $precision --steps 50 --synthetic \
                --export "$work/$name-$turn.safetensors" >"$OUT/train-$name.log" 2>&1 ||
                say FAIL "train $name: $(tail -n 2 "$OUT/train-$name.log" | cut -c1-400)"
        done
        if cmp -s "$work/$name-1.safetensors" "$work/$name-2.safetensors"; then
            say PASS "train $name: the same bytes twice"
        else
            say FAIL "train $name: two trainings differ"
        fi
    done
    for w in cnn5-fashion mlp-mnist; do
        "$breakeven" bench "$w" --batch 512 --device cuda:0 --engine native,torch --time 0.5 \
            --max-time 2 --precision $precision >"$OUT/bench-$w-$precision.log" 2>&1 ||
            say FAIL "bench $w $precision"
        cat "$OUT/bench-$w-$precision.log"
    done
done
exit $failed
