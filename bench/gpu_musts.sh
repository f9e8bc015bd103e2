#!/bin/bash
# Holds the steps of the ladder against their goals on a machine with an NVIDIA GPU, from what
# gpu_pack.sh packed:
#
#   bash FOLDER/gpu_musts.sh FOLDER [WORKLOAD:BATCH[:PRECISION]…]      (bf16 where none is named)
#   bash FOLDER/gpu_musts.sh FOLDER tf32              (the rows in tf32: gpt2 has a goal)
#   ENGINES=native,torch-graph bash FOLDER/gpu_musts.sh FOLDER …      (interleaved; else native)
#
# Each row (all of them in bf16 if none is named) is a line with the median step of each engine and
# the goal, as soon as it is measured; with other engines also, whether native is the first and
# takes the least memory of the device.  It ends after $LIMIT seconds (any number).  The records are
# in $OUT (a new folder if it is unset).  Exit code 1 if a goal was missed or a row failed.
. "$(dirname "$0")/gpu_begin.sh"
shift
# shellcheck disable=SC2086
case "${1:-bf16}" in
    tf32) set -- gpt2:16:tf32 bert-base:64:tf32 encoder:64:tf32 clip:128:tf32 ;;
    bf16) set -- gpt2:4 gpt2:16 bert-base:16 bert-base:64 encoder:16 encoder:64 clip:12 clip:128 \
        resnet50:32 resnet50:256 resnet18:128 ;;
esac

# must ROW: milliseconds; 0: there is no goal.
must() {
    case "$1" in
        gpt2:4) echo 9.5 ;; gpt2:16) echo 31 ;; gpt2:16:tf32) echo 70 ;;
        bert-base:16) echo 4.2 ;; bert-base:64) echo 11.5 ;;
        encoder:16) echo 3.2 ;; encoder:64) echo 10 ;;
        clip:12) echo 3 ;; clip:128) echo 17 ;;
        resnet50:32) echo 5.5 ;; resnet50:256) echo 33 ;;
        resnet18:128) echo 6.3 ;;
        *) echo 0 ;;
    esac
}

engines=${ENGINES:-native}
# measure: the row by the engines, into $log; $status is how it ended.
measure() {
    timed 240 "$breakeven" bench "$w" --batch "$batch" --precision "${precision:-bf16}" \
        --synthetic --device cuda:0 --engine "$engines" --time 0.5 --max-time 2 --no-store \
        --format jsonl >"$log.jsonl" 2>"$log.err"
    status=$?
}

for row in "$@"; do
    IFS=: read -r w batch precision <<<"$row"
    log="$OUT/${row//:/-}"
    measure
    # An engine that is not installed is told once, and left out from then on.
    while [ $status = 3 ]; do
        missing=$(sed -n 's/^breakeven: engine \([a-z-]*\):.*/\1/p' "$log.err")
        [ -n "$missing" ] || break
        say "NOT MEASURED" "$(tail -n 1 "$log.err" | cut -c1-300)"
        engines=$(tr , '\n' <<<"$engines" | grep -vx "$missing" | paste -sd,)
        measure
    done
    [ -s "$log.jsonl" ] || {
        fault $status "$row" "$log.err"
        continue
    }
    while IFS='|' read -r verdict text; do say "$verdict" "$row: $text"; done < <(
        python3 - "$log.jsonl" "$(must "$row")" "$engines" <<'P'
import json, sys
rows = {r["asked"]["engine"]: r for r in map(json.loads, open(sys.argv[1]))}
goal, native = float(sys.argv[2]), rows.pop("native")

def ms(record):
    return 1e3 * record["step_s"]["median"]

def mib(record):
    return (record.get("device_memory_bytes") or 0) / 2**20

if native["status"] != "OK":
    print(f"FAIL|native: {native['error']}")
    sys.exit()
verdict = "PASS" if not goal or ms(native) <= goal else "FAIL"
print(f"{verdict}|native {ms(native):.2f} ms, {f'goal {goal:g} ms' if goal else 'no goal'}, first "
      f"step {native['first_step_s']:.1f} s, {mib(native):.0f} MiB")
for name in sys.argv[3].split(",")[1:]:
    peer = rows.get(name, {"status": "", "error": "no record"})
    if peer["status"] != "OK":
        print(f"NOT MEASURED|{name}: {peer['error']}"[:300])
        continue
    first = native["step_s"]["low"] <= peer["step_s"]["high"]
    print(f"{'PASS' if first else 'FAIL'}|{name} {ms(peer):.2f} ms, {ms(peer) / ms(native):.2f} "
          f"times native's, first step {peer['first_step_s']:.1f} s")
    if mib(peer):
        print(f"{'PASS' if mib(native) <= mib(peer) else 'FAIL'}|memory of the device "
              f"{mib(native):.0f} MiB, {name} {mib(peer):.0f} MiB")
P
    )
    [ ! -s "$log.err" ] || tail -n 1 "$log.err" | cut -c1-300
done
