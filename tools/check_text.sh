#!/bin/sh
# Checks the text of all tracked files: no notes of unfinished work, no path of one person's
# machine, no tabs where spaces are the rule, no blanks at the end of a line.
#
# Usage: check_text.sh [ROOT]        exit 0: clean, 1: findings, one per line
set -u
cd "${1:-$(dirname "$0")/..}" || exit 1

# The words are put together from parts, so that this file does not find itself.
unfinished='\b(TO''DO|FIX''ME|XX''X|HA''CK)\b'
own_paths='(^|[^A-Za-z0-9_.])/(ho''me|ro''ot|wo''rk|Us''ers)/'
tab=$(printf '\t')
status=0

# report TEXT PATTERN PATHSPEC...: prints each match with the reason.
report() {
    text=$1
    pattern=$2
    shift 2
    found=$(git grep --untracked -nIE -e "$pattern" -- "$@" 2>&1)
    case $? in
    0) printf '%s\n' "$found" | sed "s|\$|    <- $text|" && status=1 ;;
    1) ;;
    *) printf 'check_text: git grep failed in %s: %s\n' "$PWD" "$found" && status=1 ;;
    esac
}

report 'unfinished: do it, or write an issue' "$unfinished" .
report "a path of one machine: make it relative, or an option" "$own_paths" .
report 'a tab: indent with spaces' "$tab" '*.c' '*.h' '*.py' '*.sh' '*.build' '*.md'
report 'blanks at the end of the line' '[[:blank:]]$' \
    '*.c' '*.h' '*.py' '*.sh' '*.build' '*.md' Makefile

[ $status -eq 0 ] && echo 'text: clean'
exit $status
