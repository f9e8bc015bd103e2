#!/bin/bash
# Takes the steps of the Transformers in bf16 apart on a machine with an NVIDIA GPU, from what
# gpu_pack.sh packed:
#
#   bash FOLDER/gpu_transformers.sh FOLDER
#
# The kernels' cases in bf16 on the card's own cuBLASLt and cuDNN; of gpt2, bert-base, encoder and
# clip parity with the reference in double and a training of 20 steps twice, which must give the
# same bytes; how long a first and a second start take; their steps by operation, as in the table of
# goals; and gpt2 4×1024 beside PyTorch captured as a graph.  About four minutes.  What comes back
# in $OUT: log.txt, ops.txt (operations of each step, the costliest first) and bench.txt.  Exit
# code 1 if anything failed.
. "$(dirname "$0")/gpu_begin.sh"
exec > >(tee "$OUT/log.txt") 2>&1

ops=attention,attention_backward,linear,linear_backward,layer_norm,layer_norm_backward,activation
ops=$ops,activation_backward,embedding_backward,adamw
if timeout 100 "$work/bin/test_gpu_ops" --target cudnn --op "$ops" >"$work/ops.log" 2>&1; then
    say PASS "cases: $(grep -c '^ok' "$work/ops.log")"
else
    say FAIL "cases: $(grep -A 3 '^not ok' "$work/ops.log" | head -n 12)"
fi

# start WORKLOAD OPTION...: seconds until a training of one step has ended.
start() {
    local before
    before=$(date +%s.%N)
    timeout 60 "$breakeven" train "$@" --synthetic --device cuda:0 --precision bf16 --steps 1 \
        >"$work/start.log" 2>&1 || say FAIL "start $1: $(tail -n 2 "$work/start.log" | cut -c1-300)"
    python3 -c 'import sys, time; print(f"{time.time() - float(sys.argv[1]):.1f} s")' "$before"
}
# steps NAME WORKLOAD OPTION...: the step of a workload by operation.
steps() {
    local name=$1
    shift
    timeout 60 "$breakeven" explain "$@" --synthetic --device cuda:0 --engine native \
        --precision bf16 --format jsonl >"$work/$name.jsonl" 2>"$work/explain.err" ||
        say FAIL "explain $name: $(tail -n 2 "$work/explain.err" | cut -c1-300)"
    python3 "$folder/gpu_table.py" ops "$name" "$work/$name.jsonl" >"$work/ops.txt"
    head -n 1 "$work/ops.txt"
    cat "$work/ops.txt" >>"$OUT/ops.txt"
}

for w in gpt2 bert-base encoder clip; do
    if timeout 40 "$breakeven" parity "$w" --synthetic --device cuda:0 --engine native \
        --precision bf16 --format jsonl >"$work/parity.jsonl" 2>"$work/parity.err"; then
        say PASS "parity $w: $(largest "$work/parity.jsonl")"
    else
        say FAIL "parity $w: $(largest "$work/parity.jsonl") $(tail -n 2 "$work/parity.err" |
            cut -c1-300)"
    fi
    for turn in 1 2; do
        timeout 40 "$breakeven" train "$w" --synthetic --device cuda:0 --precision bf16 --batch 4 \
            --steps 20 --export "$work/$w-$turn.safetensors" >"$work/train.log" 2>&1 ||
            say FAIL "train $w: $(tail -n 2 "$work/train.log" | cut -c1-300)"
    done
    if cmp -s "$work/$w-1.safetensors" "$work/$w-2.safetensors"; then
        say PASS "train $w: the same bytes twice"
    else
        say FAIL "train $w: two trainings differ"
    fi
    rm -f "$work/$w"-?.safetensors
done
echo "start gpt2 4: first $(start gpt2 --batch 4), second $(start gpt2 --batch 4)"
steps "gpt2 4x1024" gpt2 --batch 4
steps "bert-base 16x128" bert-base --batch 16
steps "encoder 16x256" encoder --batch 16
steps "clip 12" clip --batch 12
timeout 100 "$breakeven" bench gpt2 --batch 4 --synthetic --device cuda:0 \
    --engine native,torch-graph --precision bf16 --time 0.5 --max-time 4 >"$OUT/bench.txt" 2>&1 ||
    say FAIL "bench gpt2"
cat "$OUT/bench.txt"
exit $failed
