#!/bin/bash
# Proves and times gradient accumulation on a machine with an NVIDIA GPU, from what gpu_pack.sh
# packed:
#
#   bash FOLDER/gpu_accumulate.sh FOLDER
#
# gpt2 in bf16 in 1, 2 and 4 turns of a batch of 8: the last losses agree, two trainings in 4 turns
# give equal weights, a training goes on from a checkpoint, and what a turn adds to the step.  All
# is logged in $OUT (a new folder if it is unset).  Exit code 1 if anything failed.
. "$(dirname "$0")/gpu_begin.sh"

# train NAME TURNS WORD…: 20 steps of gpt2; the record is $OUT/NAME.jsonl.
train() {
    local name=$1 turns=$2
    shift 2
    timeout -k 5 110 "$breakeven" train gpt2 --batch 8 --accumulate "$turns" --precision bf16 \
        --synthetic --device cuda:0 --limit 512 --seed 3 --no-store --format jsonl "$@" \
        >"$OUT/$name.jsonl" 2>"$OUT/$name.err"
}
# last NAME FIELD: of the last record.
last() {
    python3 -c 'import json, sys
print(json.loads(open(sys.argv[1]).readlines()[-1])[sys.argv[2]])' "$OUT/$1.jsonl" "$2" 2>/dev/null
}

for turns in 1 2 4; do
    if train "turns$turns" $turns --steps 20 --export "$work/turns$turns"; then
        say PASS "$turns turns: loss $(last turns$turns loss), $(last turns$turns units_per_s)/s"
    else
        say FAIL "$turns turns: $(tail -n 2 "$OUT/turns$turns.err")"
    fi
done
for turns in 2 4; do
    python3 -c 'import sys
one, other = map(float, sys.argv[1:])
sys.exit(not abs(one - other) <= 2e-3 * one)' "$(last turns1 loss)" "$(last turns$turns loss)" &&
        say PASS "$turns turns: the loss of one" || say FAIL "$turns turns: another loss than one's"
done
train again 4 --steps 20 --export "$work/again" && cmp -s "$work/turns4" "$work/again" &&
    say PASS "4 turns twice: equal weights" || say FAIL "4 turns twice: other weights"
train half 4 --steps 10 --checkpoint "$work/checkpoints" &&
    train rest 4 --steps 20 --resume "$work/checkpoints" --export "$work/rest" &&
    cmp -s "$work/turns4" "$work/rest" &&
    say PASS "resumed: equal weights" ||
    say FAIL "resumed: other weights ($(tail -n 2 "$OUT/rest.err"))"
exit $failed
