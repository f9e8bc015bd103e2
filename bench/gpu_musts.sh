#!/bin/bash
# Holds the steps of the ladder in bf16 against their goals on a machine with an NVIDIA GPU, from
# what gpu_pack.sh packed:
#
#   bash FOLDER/gpu_musts.sh FOLDER [WORKLOAD:BATCH…]
#   ENGINES=native,torch-graph bash FOLDER/gpu_musts.sh FOLDER …      (interleaved; else native)
#
# Each row (all of them if none is named) is a line with the median step of each engine and the
# goal, as soon as it is measured.  The records are in $OUT (a new folder if it is unset).  Exit
# code 1 if a goal was missed or a row failed.
. "$(dirname "$0")/gpu_begin.sh"
shift
rows="gpt2:4 gpt2:16 bert-base:16 bert-base:64 encoder:16 encoder:64 clip:12 clip:128 resnet50:32
resnet50:256 resnet18:128"
# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $rows

# must ROW: milliseconds.
must() {
    case "$1" in
        gpt2:4) echo 9.5 ;; gpt2:16) echo 31 ;;
        bert-base:16) echo 4.2 ;; bert-base:64) echo 11.5 ;;
        encoder:16) echo 3.2 ;; encoder:64) echo 10 ;;
        clip:12) echo 3 ;; clip:128) echo 17 ;;
        resnet50:32) echo 5.5 ;; resnet50:256) echo 33 ;;
        resnet18:128) echo 6.3 ;;
        *) echo 0 ;;
    esac
}

for row in "$@"; do
    w=${row%:*} batch=${row#*:}
    timeout -k 5 150 "$breakeven" bench "$w" --batch "$batch" --precision bf16 --synthetic \
        --device cuda:0 --engine "${ENGINES:-native}" --time 0.5 --max-time 2 --no-store \
        --format jsonl >"$OUT/$w-$batch.jsonl" 2>"$OUT/$w-$batch.err"
    read -r verdict text < <(python3 - "$OUT/$w-$batch.jsonl" "$(must "$row")" <<'P'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
steps = {r["engine"]: 1e3 * r["step_s"]["median"] for r in rows if r.get("step_s")}
goal = float(sys.argv[2])
text = ", ".join(f"{name} {ms:.2f} ms" for name, ms in steps.items()) or "not measured"
print("PASS" if steps.get("native", goal + 1) <= goal else "FAIL", f"{text}, goal {goal:g} ms")
P
    )
    say "$verdict" "$row: $text $(tail -n 1 "$OUT/$w-$batch.err" | cut -c1-200)"
done
exit $failed
