# What the scripts share that measure on a machine with an NVIDIA GPU: they read it (.) with the
# folder that gpu_pack.sh packed as their first argument.  It unpacks the program and leaves
# $breakeven, $work, $OUT, and the functions below; at the end what lies in $OUT becomes
# logs.tar.gz.  What $LIMIT seconds (else any number) do not suffice for is NOT MEASURED.  The exit
# code is 1 if anything FAILed, of what worked in the background, too.
set -u
folder=$(cd "${1:-$(dirname "$0")}" && pwd)
OUT=${OUT:-$(mktemp -d)}
mkdir -p "$OUT"
work=$(mktemp -d)
deadline=$((SECONDS + ${LIMIT:-100000}))
python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' \
    "$folder/breakeven.tar.xz" "$work" || exit 1
for library in $(ldd "$work/bin/breakeven" | awk '/not found/{print $1}' | sort -u); do
    cp "$work/spare/$library" "$work/bin/lib/"
done
[ -d "$folder/data" ] && export BREAKEVEN_DATA="$folder/data"
export BREAKEVEN_PYTHON="${BREAKEVEN_PYTHON:-$(command -v python3)}"
export XDG_CACHE_HOME="$work/cache" PYTHONDONTWRITEBYTECODE=1
breakeven="$work/bin/breakeven"
failed=0
small="mlp-mnist cnn-fashion cnn5-fashion cnn-mnist cnn-cifar"
ladder="resnet18-cifar resnet18 resnet50 encoder clip bert-base gpt2"
# One file comes back, however many there are.
finish() {
    local status=$?
    [ ! -e "$work/failed" ] || status=1
    tar -C "$OUT" -czf "$work/logs.tar.gz" . && find "$OUT" -type f -delete &&
        mv "$work/logs.tar.gz" "$OUT/"
    rm -rf "$work"
    exit $status
}
trap finish EXIT

# say PASS|FAIL|"NOT MEASURED" TEXT: a line, at once.
say() {
    [ "$1" != FAIL ] || { failed=1 && : >"$work/failed"; }
    printf '%-4s %s\n' "$@"
}
left() { echo $((deadline - SECONDS)); }
# timed SECONDS COMMAND…: with a limit, which the script's cuts; 124: the time was over.
timed() {
    local most=$1
    shift
    [ "$(left)" -gt 5 ] || return 124
    [ "$most" -le "$(left)" ] || most=$(left)
    timeout -k 5 "$most" "$@" </dev/null
}
# fault STATUS TEXT FILE: that a command ended so: no time, or the end of what it said.
fault() {
    case "$1" in
        124 | 137) say "NOT MEASURED" "$2: no time left" ;;
        *) say FAIL "$2 ($1): $(tail -n 2 "$3" | tr '\n' ' ' | cut -c1-400)" ;;
    esac
}
# gate WORKLOAD: the options of the variant that its gate computes.
gate() {
    case "$1" in
        resnet18-cifar) echo "--size 32" ;;
        resnet*) echo "--size 64" ;;
        clip*) echo "--layers 1 --seq 24 --size 64 --vocab 1024" ;;
        encoder | bert-base | gpt2) echo "--layers 2 --seq 32 --vocab 2048" ;;
    esac
}
# largest FILE: the largest error of a parity's records, and where.
largest() {
    python3 - "$1" <<'P'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1]) if line.strip()]
rows = [r for r in rows if isinstance(r.get("error"), float)]
worst = max(rows, key=lambda r: r["error"], default=None)
print(f'{worst["error"]:.2g} at {worst.get("where", worst.get("quantity"))}' if worst else "no row")
P
}
