#!/bin/bash
# Holds the losses of 200 steps in bf16 against those of other seeds in fp32 on a machine with an
# NVIDIA GPU, from what gpu_pack.sh packed:
#
#   bash FOLDER/gpu_seeds.sh FOLDER [WORKLOAD…]          (all twelve, if none is named)
#   PRECISION=tf32 bash FOLDER/gpu_seeds.sh FOLDER       (bf16 where it is unset)
#
# Of each workload's variant at the gate, all beside one another: 20 times the mean loss of ten
# steps, in fp32 with five seeds and in bf16 with the first of them.  bf16 may part from its own
# seed by as much as the five part from one another, in each of the twenty (where these are closer
# than they mostly are: by as much as mostly).  It ends after $LIMIT seconds (115).  All is logged
# in $OUT (a new folder if it is unset).  Exit code 1 if anything failed.
LIMIT=${LIMIT:-115}
. "$(dirname "$0")/gpu_begin.sh"
shift
# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $ladder $small
precision=${PRECISION:-bf16}

# losses WORKLOAD PRECISION SEED
losses() {
    # shellcheck disable=SC2046
    timed 100 "$breakeven" train "$1" --synthetic --device "${DEVICE:-cuda:0}" --precision "$2" \
        --seed "$3" $(gate "$1") --batch 8 --limit 80 --epochs 20 --lr 1e-3 --no-store \
        --format jsonl >"$OUT/$1-$2-$3.jsonl" 2>"$OUT/$1-$2-$3.err"
}
# spread WORKLOAD
spread() {
    local seed status
    for seed in 1 2 3 4 5 narrow; do
        if [ $seed = narrow ]; then losses "$1" "$precision" 1; else losses "$1" fp32 $seed; fi
        status=$?
        [ $status = 0 ] || {
            fault $status "$1" "$(ls -t "$OUT/$1"-*.err | head -n 1)"
            return
        }
    done
    read -r verdict text < <(
        python3 - "$OUT/$1-fp32-"{1,2,3,4,5}.jsonl "$OUT/$1-$precision-1.jsonl" <<'P'
import json, statistics, sys
curves = [[json.loads(line)["loss"] for line in open(path)] for path in sys.argv[1:]]
apart = [abs(row[-1] - row[0]) for row in zip(*curves, strict=True)]
spreads = [max(row[:-1]) - min(row[:-1]) for row in zip(*curves, strict=True)]
usual = statistics.median(spreads)
worst = max(range(len(apart)), key=lambda i: apart[i] / max(spreads[i], usual, 1e-30))
inside = len(apart) == 20 and all(a <= max(s, usual) for a, s in zip(apart, spreads))
print("PASS" if inside else "FAIL", f"{len(apart)} means of ten losses, from {curves[0][0]:.4g} to "
      f"{curves[0][-1]:.4g}: apart by at most {max(apart):.2g}; nearest to the spread of seeds at "
      f"{worst + 1}: {apart[worst]:.2g} of {max(spreads[worst], usual):.2g}")
P
    )
    say "$verdict" "$1: $text"
}

for w in "$@"; do spread "$w" & done
wait
