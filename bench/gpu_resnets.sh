#!/bin/bash
# Proves and times the ResNets in bf16 on a machine with an NVIDIA GPU, from what gpu_pack.sh
# packed:
#
#   bash FOLDER/gpu_resnets.sh FOLDER
#
# The cases of the ops between the convolutions, and those of the convolution on the card's own
# cuDNN; parity of the gates' variants with the reference in double; a step twice, which must give
# the same bytes; the steps, and where their time goes; and resnet50 at batch 32 beside PyTorch's
# step as a CUDA graph.  About four minutes.  What takes longer is cut off and said.  In $OUT (a new
# folder if it is unset) are resnets.log and ops.jsonl.  Exit code 1 if anything failed.
. "$(dirname "$0")/gpu_begin.sh"
log="$OUT/resnets.log"
: >"$log"
bf16="--synthetic --device cuda:0 --precision bf16"

# cases TARGET OPS
cases() {
    if timeout 60 "$work/bin/test_gpu_ops" --target "$1" --op "$2" >"$work/cases" 2>&1; then
        say PASS "ops on $1: $(grep -c '^ok' "$work/cases") cases"
    else
        say FAIL "ops on $1, after $(grep -c '^ok' "$work/cases") cases: $(grep -A 4 '^not ok' \
            "$work/cases" | head -n 30)"
    fi
    cat "$work/cases" >>"$log"
}

# The plan says who computes what.
# shellcheck disable=SC2086
"$breakeven" train resnet50 $bf16 --batch 32 --dry-run >"$work/plan" 2>>"$log" ||
    say FAIL "the plan of resnet50: $(tail -n 1 "$log")"
awk '$2 ~ /^(conv2d|batch_norm|max_pool|global|add|cast|reorder)/ {print $2, $3, $4}' \
    "$work/plan" | sort | uniq -c
tail -n 3 "$work/plan"

for w in resnet18-cifar resnet18 resnet50; do
    # shellcheck disable=SC2086
    if timeout 60 "$breakeven" parity "$w" $bf16 --engine native --format jsonl \
        >"$work/parity" 2>"$work/err"; then
        say PASS "parity $w: $(largest "$work/parity")"
    else
        say FAIL "parity $w: $(largest "$work/parity") $(tail -n 2 "$work/err" | cut -c1-400)"
    fi
    for turn in 1 2; do
        # shellcheck disable=SC2086
        timeout 60 "$breakeven" dump "$w" $bf16 --batch 4 --size 64 \
            -o "$work/$w-$turn.safetensors" >"$work/err" 2>&1 ||
            say FAIL "dump $w: $(tail -n 2 "$work/err" | cut -c1-400)"
    done
    if cmp -s "$work/$w-1.safetensors" "$work/$w-2.safetensors"; then
        say PASS "step of $w: the same bytes twice"
    else
        say FAIL "step of $w: two differ"
    fi
done

# step WORKLOAD BATCH ENGINES SECONDS
step() {
    # shellcheck disable=SC2086
    timeout "$4" "$breakeven" bench "$1" $bf16 --batch "$2" --engine "$3" --time 0.5 \
        --max-time 3 2>>"$log" || say FAIL "bench $1 $2"
}
step resnet50 256 native 60
step resnet50 32 native 60
step resnet18 128 native 60
step resnet18-cifar 128 native 60
for batch in 256 32; do
    # shellcheck disable=SC2086
    timeout 60 "$breakeven" explain resnet50 $bf16 --batch $batch --engine native --time 0.5 \
        --format jsonl >>"$OUT/ops.jsonl" 2>>"$log" || say FAIL "explain resnet50 $batch"
done
cases cuda batch_norm,batch_norm_infer,batch_norm_backward,add,cast,reorder
cases cudnn conv2d,conv2d_backward
step resnet50 32 native,torch-graph 150
exit $failed
