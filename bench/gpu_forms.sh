#!/bin/bash
# Proves and times PyTorch's forms on a machine with an NVIDIA GPU, from what gpu_pack.sh packed:
#
#   bash FOLDER/gpu_forms.sh FOLDER [WORKLOAD…]
#
# Of each workload (mlp-mnist, cnn-fashion, cnn-mnist, which has dropout, resnet18-cifar) in fp32
# and bf16: every form passes the gate and is measured on cuda:0, all in one interleaved run; then
# the example of a user's own model.  All is logged in $OUT (a new folder if it is unset).  Exit
# code 1 if anything failed.
. "$(dirname "$0")/gpu_begin.sh"
shift
[ $# -gt 0 ] || set -- mlp-mnist cnn-fashion cnn-mnist resnet18-cifar

# forms NAME ARGUMENT…: PASS or FAIL for each form of one bench, with its step and first step.
forms() {
    local name=$1
    shift
    "$breakeven" bench "$@" --device cuda:0 --engine \
        torch,torch-compile,torch-graph,torch-channels-last --time 0.5 --max-time 2 --no-store \
        --format jsonl >"$OUT/forms-$name.jsonl" 2>"$OUT/forms-$name.err"
    python3 - "$OUT/forms-$name.jsonl" >"$OUT/forms-$name.txt" <<'EOF'
import json, sys
with open(sys.argv[1], encoding="utf-8") as file:
    records = {record["engine"]: record for record in map(json.loads, file)}
for engine in ("torch", "torch-compile", "torch-graph", "torch-channels-last"):
    record = records.get(engine)
    if record is None or record["status"] != "OK":
        print("FAIL", engine, (record or {}).get("error", "no record"))
    else:
        print("PASS", engine, f"{1e6 * record['step_s']['median']:.1f} us a step, step 1 "
              f"{record['first_step_s']:.2f} s, error {record['parity']['error']:.1e}")
EOF
    while read -r verdict text; do say "$verdict" "forms $name: $text"; done \
        <"$OUT/forms-$name.txt"
    [ -s "$OUT/forms-$name.txt" ] || say FAIL "forms $name: $(tail -n 2 "$OUT/forms-$name.err")"
}

for w in "$@"; do
    for precision in fp32 bf16; do
        forms "$w-$precision" "$w" --precision $precision
    done
done
if [ -f "$(dirname "$0")/mymodel.py" ]; then
    forms mymodel "$(dirname "$0")/mymodel.py"
fi
exit $failed
