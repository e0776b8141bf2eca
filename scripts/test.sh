#!/usr/bin/env bash
# test.sh PRESET [CTEST-OPTION...] - runs the tests of build/PRESET. A test that was skipped, not
# run or disabled has shown nothing, so it counts as a failure; so does one that hangs for minutes
# (many of them: the clock of a virtual machine that was paused runs on).
set -euo pipefail
cd "$(dirname "$0")/.."

preset=${1:?usage: test.sh PRESET [CTEST-OPTION...]}
shift
dir=$PWD/build/$preset
log=$dir/Testing/Temporary/LastTest.log
rm -f "$log" "$dir/junit.xml"

echo "testing $dir"
status=0
ctest --preset "$preset" --no-tests=error --timeout 900 -j "$(nproc)" --output-junit "$dir/junit.xml" "$@" || status=$?

# GoogleTest exits 0 when a case skips itself, so ctest alone would not see it.
if grep -nE '^\[  SKIPPED \]|YOU HAVE [0-9]+ DISABLED TEST|^Test time.*\(Not Run\)' "$log" >&2; then
  echo "test: the tests above did not run; a test that did not run is a failure ($log)" >&2
  status=1
fi
if ! grep -qE 'skipped="0"' "$dir/junit.xml" || ! grep -qE 'disabled="0"' "$dir/junit.xml"; then
  echo "test: ctest skipped or disabled tests; a test that did not run is a failure" >&2
  status=1
fi
exit "$status"
