#!/bin/bash
# Times the start on a machine with an NVIDIA GPU, from what gpu_pack.sh packed:
#
#   bash FOLDER/gpu_start.sh FOLDER [WORKLOAD…]
#
# Each workload (all of the ladder but the large clips) in bf16: from the command to the end of the
# first step with an empty cache folder (under 30 s), and again with what that left (under 2 s).
# What was not tried for want of time is told.  It ends after $LIMIT seconds (115).  All is logged
# in $OUT (a new folder if it is unset).  Exit code 1 if anything failed.
LIMIT=${LIMIT:-115}
. "$(dirname "$0")/gpu_begin.sh"
shift
[ $# -gt 0 ] || set -- mlp-mnist cnn-fashion resnet18-cifar resnet18 resnet50 encoder clip \
    bert-base gpt2

# start NAME WORKLOAD LIMIT: one step, held against a limit in seconds.
start() {
    local status
    timed 90 "$breakeven" train "$2" --precision bf16 --synthetic --limit 64 --batch 8 --steps 1 \
        --device cuda:0 --no-store --format jsonl >"$OUT/$1.jsonl" 2>"$OUT/$1.err"
    status=$?
    [ $status = 0 ] || {
        fault $status "$1" "$OUT/$1.err"
        return
    }
    read -r verdict text < <(python3 - "$OUT/$1.jsonl" "$3" <<'P'
import json, sys
record = json.loads(open(sys.argv[1]).readlines()[-1])
seconds = record["start_to_first_step_s"]
print("PASS" if seconds < float(sys.argv[2]) else "FAIL", f"{seconds:.2f} s, limit {sys.argv[2]} s")
P
    )
    say "$verdict" "$1: $text"
}

for w in "$@"; do
    export XDG_CACHE_HOME="$work/cache-$w"
    start "cold-$w" "$w" 30
    start "warm-$w" "$w" 2
    "$breakeven" train "$w" --precision bf16 --batch 8 --limit 64 --synthetic --device cuda:0 \
        --dry-run 2>/dev/null | grep '^tuning' || true
done
