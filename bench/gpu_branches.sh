#!/bin/bash
# Times what the branches of a step's graph bring on a machine with an NVIDIA GPU, from what
# gpu_pack.sh packed:
#
#   bash FOLDER/gpu_branches.sh FOLDER [WORKLOAD:BATCH…]
#
# Each workload (encoder:16, bert-base:16, clip:12, gpt2:4) in bf16 with the branches and with all
# launches in a row (BREAKEVEN_CUDA_LANES=1), in turn, three times each; and whether both train to
# the same bits.  All is logged in $OUT (a new folder if it is unset).  Exit code 1 if anything
# failed.
. "$(dirname "$0")/gpu_begin.sh"
shift
[ $# -gt 0 ] || set -- encoder:16 bert-base:16 clip:12 gpt2:4

# step NAME WORKLOAD BATCH: the median step of a bench, in seconds, into $OUT/NAME.
step() {
    timeout -k 5 60 "$breakeven" bench "$2" --batch "$3" --precision bf16 --engine native \
        --device cuda:0 --time 0.5 --max-time 2 --no-store --format jsonl \
        >"$OUT/$1.jsonl" 2>"$OUT/$1.err" || return 1
    python3 -c 'import json, sys
print(json.loads(open(sys.argv[1]).readline())["step_s"]["median"])' "$OUT/$1.jsonl" >>"$OUT/$1"
}
# weights NAME WORKLOAD BATCH: of 20 steps.
weights() {
    timeout -k 5 100 "$breakeven" train "$2" --batch "$3" --precision bf16 --synthetic \
        --limit $((8 * $3)) --device cuda:0 --steps 20 --no-store --quiet \
        --export "$work/$1" >"$OUT/$1.log" 2>&1
}

for each in "$@"; do
    w=${each%:*} batch=${each#*:}
    for round in 1 2 3; do
        step "$w-branches" "$w" "$batch" || say FAIL "$w: $(tail -n 1 "$OUT/$w-branches.err")"
        BREAKEVEN_CUDA_LANES=1 step "$w-row" "$w" "$batch" ||
            say FAIL "$w in a row: $(tail -n 1 "$OUT/$w-row.err")"
    done
    python3 - "$OUT/$w-branches" "$OUT/$w-row" "$each" <<'P' || say FAIL "$each: no times"
import statistics, sys
branches, row = (statistics.median(map(float, open(name))) for name in sys.argv[1:3])
print(f"PASS {sys.argv[3]}: {1e3 * branches:.3f} ms with branches, {1e3 * row:.3f} ms in a row, "
      f"{row / branches:.3f} times")
P
    weights "$w.branches" "$w" "$batch" &&
        BREAKEVEN_CUDA_LANES=1 weights "$w.row" "$w" "$batch" &&
        cmp -s "$work/$w.branches" "$work/$w.row" &&
        say PASS "$w: the same bits in a row" || say FAIL "$w: other bits in a row"
done
exit $failed
