#!/bin/bash
# Times how the launches of a step follow one another on a machine with an NVIDIA GPU, from what
# gpu_pack.sh packed:
#
#   bash FOLDER/gpu_branches.sh FOLDER [WORKLOAD:BATCH…]
#
# Each workload (encoder:16, bert-base:16, clip:12, gpt2:4) in bf16 in the form that is found
# (docs/cuda.md), in any number of lanes, in one, two and three (BREAKEVEN_CUDA_LANES), and as it is
# found with full edges (BREAKEVEN_CUDA_EDGES), in turn, twice each; and whether all train to the
# same bits.  All is logged in $OUT (a new folder if it is unset).  Exit code 1 if anything failed:
# other bits, or a form found that is more than 3 % slower than another.
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

# in_form FORM COMMAND…: with the environment of that form.
in_form() {
    form=$1
    shift
    case "$form" in
        found) "$@" ;;
        full) BREAKEVEN_CUDA_EDGES=full "$@" ;;
        *) BREAKEVEN_CUDA_LANES=$form "$@" ;;
    esac
}

for each in "$@"; do
    w=${each%:*} batch=${each#*:}
    for round in 1 2; do
        for form in found 0 1 2 3 full; do
            in_form "$form" step "$w-$form" "$w" "$batch" ||
                say FAIL "$w, $form: $(tail -n 1 "$OUT/$w-$form.err")"
        done
    done
    python3 - "$OUT/$w" "$each" <<'P' || say FAIL "$each: found is not the fastest, or no times"
import sys
names = ["found", "0", "1", "2", "3", "full"]
times = {n: min(map(float, open(f"{sys.argv[1]}-{n}"))) for n in names}
said = ", ".join(f"{n} {1e3 * times[n]:.3f}" for n in names)
slow = times["found"] > 1.03 * min(times[n] for n in "0123")
print(f"{'FAIL' if slow else 'PASS'} {sys.argv[2]}: ms by form: {said}")
sys.exit(slow)
P
    weights "$w.found" "$w" "$batch" || say FAIL "$w: $(tail -n 1 "$OUT/$w.found.log")"
    for form in 0 1 2 full; do
        in_form "$form" weights "$w.$form" "$w" "$batch" &&
            cmp -s "$work/$w.found" "$work/$w.$form" &&
            say PASS "$w: the same bits, $form" || say FAIL "$w: other bits, $form"
    done
done
exit $failed
