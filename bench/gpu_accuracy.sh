#!/bin/bash
# Trains resnet18-cifar for ten epochs on the part of CIFAR-10 that is at hand, natively and by
# PyTorch, from the same weights and batches, on a machine with an NVIDIA GPU, from what gpu_pack.sh
# packed and with $BREAKEVEN_DATA's cifar-10 in FOLDER/data:
#
#   bash FOLDER/gpu_accuracy.sh FOLDER [EPOCHS]
#
# The accuracies on the test pictures must lie within one point.  About two minutes.
. "$(dirname "$0")/gpu_begin.sh"
epochs=${2:-10}
w=resnet18-cifar

accuracy() {
    "$breakeven" eval "$w" --weights "$1" --device cuda:0 --format jsonl |
        python3 -c 'import json, sys; print(json.loads(sys.stdin.readlines()[-1])["accuracy"])'
}

timeout 240 "$breakeven" train "$w" --device cuda:0 --epochs "$epochs" \
    --export "$work/native.safetensors" >"$OUT/native.log" 2>&1 ||
    say FAIL "native: $(tail -n 1 "$OUT/native.log")"
tail -n 4 "$OUT/native.log"
timeout 240 "$BREAKEVEN_PYTHON" "$folder/torch_training.py" "$w" "$epochs" \
    "$work/torch.safetensors" --program "$breakeven" --device cuda:0 \
    --python "$BREAKEVEN_PYTHON" >"$OUT/torch.log" 2>&1 ||
    say FAIL "PyTorch: $(tail -n 1 "$OUT/torch.log")"
tail -n 2 "$OUT/torch.log"
native=$(accuracy "$work/native.safetensors") torch=$(accuracy "$work/torch.safetensors")
if python3 -c "import sys; sys.exit(not abs($native - $torch) <= 0.01)"; then
    say PASS "accuracy of $w after $epochs epochs: native $native, PyTorch $torch"
else
    say FAIL "accuracy of $w after $epochs epochs: native $native, PyTorch $torch"
fi
exit $failed
