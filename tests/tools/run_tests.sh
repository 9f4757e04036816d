#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# run_tests.sh MAKE TARGET...: makes every target, also after one failed, and ends with a summary of them all,
# whose last line is in build/test-summary too.
set -u

make=$1
shift
summary=
failed=0
for target in "$@"; do
    echo "==== $target"
    before=$(date +%s)
    if "$make" --no-print-directory "$target" </dev/null; then
        result=passed
    else
        result=FAILED
        failed=$((failed + 1))
    fi
    summary="$summary$(printf '  %-14s %s  %4d s' "$target" "$result" $(($(date +%s) - before)))
"
done
echo "==== summary"
printf '%s' "$summary"
mkdir -p build
echo "$(($# - failed)) passed, $failed failed" | tee build/test-summary
[ "$failed" = 0 ]
