#!/bin/bash
# Looks for bad memory accesses and races on a machine with an NVIDIA GPU and compute-sanitizer,
# from what gpu_pack.sh packed:
#
#   bash FOLDER/gpu_sanitizer.sh FOLDER [WORKLOAD…]      (all twelve, if none is named)
#   TOOL=racecheck bash FOLDER/gpu_sanitizer.sh FOLDER   (memcheck where it is unset)
#   PRECISION=fp32 bash FOLDER/gpu_sanitizer.sh FOLDER   (bf16 where it is unset)
#
# A training of two steps of each workload's variant at the gate, all beside one another.  It ends
# after $LIMIT seconds (115).  All is logged in $OUT (a new folder if it is unset).  Exit code 1 if
# anything was found.
LIMIT=${LIMIT:-115}
. "$(dirname "$0")/gpu_begin.sh"
shift
# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $ladder $small
tool=${TOOL:-memcheck} precision=${PRECISION:-bf16}
sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
[ -x "$sanitizer" ] || {
    say "NOT MEASURED" "$tool: compute-sanitizer is not here"
    exit
}
export BREAKEVEN_TUNE_SECONDS=0 # each trial is slow under it

# check WORKLOAD
check() {
    local log="$OUT/$tool-$1" status
    # shellcheck disable=SC2046
    timed 110 "$sanitizer" --tool "$tool" --error-exitcode 9 "$breakeven" train "$1" --synthetic \
        --device cuda:0 --precision "$precision" $(gate "$1") --batch 2 --limit 8 --steps 2 \
        --lr 1e-3 --no-store >"$log.log" 2>"$log.err"
    status=$?
    case $status in
        0 | 9) ;;
        *) fault $status "$tool $1 in $precision" "$log.err" && return ;;
    esac
    grep -h '=========' "$log.log" "$log.err" >"$log.found"
    if [ $status = 0 ]; then
        say PASS "$tool $1 in $precision: $(tail -n 1 "$log.found")"
    else
        say FAIL "$tool $1 in $precision: $(head -n 12 "$log.found")"
    fi
}

for w in "$@"; do check "$w" & done
wait
