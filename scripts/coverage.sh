#!/usr/bin/env bash
# coverage.sh - runs the tests of build/coverage and prints the lines they reach, file by file.
set -euo pipefail
cd "$(dirname "$0")/.."

profiles=$PWD/build/coverage/profiles
rm -rf "$profiles"
mkdir -p "$profiles"
LLVM_PROFILE_FILE=$profiles/%p-%m.profraw scripts/test.sh coverage --label-exclude text
llvm-profdata-19 merge -sparse "$profiles"/*.profraw -o "$profiles/all.profdata"
objects=()
while read -r program; do objects+=(-object "$program"); done < <(
  find build/coverage -type f -executable \( -name '*_test' -o -name '*.so*' -o -path '*/bin/*' \))
llvm-cov-19 report -instr-profile "$profiles/all.profdata" "${objects[@]}" \
  -ignore-filename-regex '_test\.cc$|^/usr/' | tee build/coverage/report.txt
