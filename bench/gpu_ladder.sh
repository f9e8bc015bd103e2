#!/bin/bash
# Proves the workloads on a machine with an NVIDIA GPU, from what gpu_pack.sh packed:
#
#   bash FOLDER/gpu_ladder.sh FOLDER [WORKLOAD…]         (all twelve, if none is named)
#   PRECISION=bf16 bash FOLDER/gpu_ladder.sh FOLDER      (fp32 where it is unset)
#   LIBRARY=cudnn bash FOLDER/gpu_ladder.sh FOLDER       (as --library; in bf16 and tf32 not needed)
#   DEVICE=opencl:0 bash FOLDER/gpu_ladder.sh FOLDER     (cuda:0 where it is unset)
#
# Of each workload, all beside one another: parity of its gate's variant with the reference in
# double, then two trainings of 50 steps of that variant, which must give the same bytes.  It ends
# after $LIMIT seconds (115).  The steps are timed by gpu_musts.sh.  All is logged in $OUT (a new
# folder if it is unset).  Exit code 1 if anything failed.
LIMIT=${LIMIT:-115}
. "$(dirname "$0")/gpu_begin.sh"
shift
# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $ladder $small
options=(--synthetic --device "${DEVICE:-cuda:0}" --precision "${PRECISION:-fp32}"
    ${LIBRARY:+--library "$LIBRARY"})

# parity WORKLOAD
parity() {
    local log="$OUT/parity-$1" status
    timed 110 "$breakeven" parity "$1" "${options[@]}" --engine native --format jsonl \
        >"$log.jsonl" 2>"$log.err"
    status=$?
    case $status in
        0) say PASS "parity $1: $(largest "$log.jsonl")" ;;
        4) say FAIL "parity $1: $(largest "$log.jsonl") $(tail -n 1 "$log.err" | cut -c1-300)" ;;
        *) fault $status "parity $1" "$log.err" ;;
    esac
}
# twice WORKLOAD
twice() {
    local turn status
    for turn in 1 2; do
        # shellcheck disable=SC2046
        timed 60 "$breakeven" train "$1" "${options[@]}" $(gate "$1") --batch 8 --limit 64 \
            --steps 50 --lr 1e-3 --no-store --export "$work/$1-$turn" >"$OUT/train-$1.log" 2>&1
        status=$?
        [ $status = 0 ] || {
            fault $status "50 steps of $1" "$OUT/train-$1.log"
            return
        }
    done
    if cmp -s "$work/$1-1" "$work/$1-2"; then
        say PASS "50 steps of $1 twice: $(sha256sum <"$work/$1-1" | cut -c1-16)"
    else
        say FAIL "50 steps of $1 twice: the weights differ"
    fi
    rm -f "$work/$1-1" "$work/$1-2"
}

# prove WORKLOAD: with a cache of its own, where no other workload keeps another choice between two
# trainings.
prove() {
    export XDG_CACHE_HOME="$work/cache-$1"
    parity "$1"
    twice "$1"
}

for w in "$@"; do prove "$w" & done
wait
