#!/bin/bash
# Times the five small networks in fp32, tf32 and bf16 on a machine with an NVIDIA GPU, from what
# gpu_pack.sh packed:
#
#   bash FOLDER/gpu_precision.sh FOLDER [WORKLOAD:BATCH…]
#
# Each (all five at 100 and 512, if none is named) with the three precisions in one interleaved run:
# tf32 and bf16 are never slower than fp32, by their intervals, and the better of them at least 1.5
# times as fast for cnn5-fashion at 512.  It ends after $LIMIT seconds (115).  Parity and equal bits
# are gpu_ladder.sh's.  All is logged in $OUT (a new folder if it is unset).  Exit code 1 if
# anything failed.
LIMIT=${LIMIT:-115}
. "$(dirname "$0")/gpu_begin.sh"
shift
# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- cnn5-fashion:512 $(printf '%s:100 ' $small) mlp-mnist:512 cnn-fashion:512 \
    cnn-mnist:512 cnn-cifar:512

for row in "$@"; do
    w=${row%:*} batch=${row#*:} log="$OUT/${row/:/-}"
    timed 60 "$breakeven" bench "$w" --batch "$batch" --precision fp32,tf32,bf16 --device cuda:0 \
        --engine native --time 0.4 --max-time 1.5 --no-store --format jsonl \
        >"$log.jsonl" 2>"$log.err"
    status=$?
    [ $status = 0 ] || {
        fault $status "$row" "$log.err"
        continue
    }
    while read -r verdict text; do say "$verdict" "$row: $text"; done < <(
        python3 - "$log.jsonl" "$row" <<'P'
import json, sys
steps = {}
for line in open(sys.argv[1]):
    record = json.loads(line)
    if record["status"] == "OK":
        steps[record["asked"]["precision"]] = record["step_s"]
    else:
        print("FAIL", record["asked"]["precision"], record["error"])
base = steps.get("fp32")
ratios = {}
for precision in ("tf32", "bf16"):
    if base and precision in steps:
        step = steps[precision]
        ratios[precision] = base["median"] / step["median"]
        print("FAIL" if step["low"] > base["high"] else "PASS", f"{precision} "
              f"{1e6 * step['median']:.1f} us, fp32 {1e6 * base['median']:.1f} us: "
              f"{ratios[precision]:.2f} times as fast, promised never slower")
if sys.argv[2] == "cnn5-fashion:512" and ratios:
    best = max(ratios, key=ratios.get)
    print("PASS" if ratios[best] >= 1.5 else "FAIL",
          f"{best} {ratios[best]:.2f} times as fast as fp32, promised 1.5")
P
    )
done
