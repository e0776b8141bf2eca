#!/usr/bin/env bash
# fuzz.sh [SECONDS] - runs every fuzzer of build/fuzz for so long (default 60), one after another.
# Inputs that reach new code stay in build/fuzz/corpus, so the next run starts where this one ended.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
ran=0
for fuzzer in build/fuzz/fuzz/*; do
  [[ -f $fuzzer && -x $fuzzer ]] || continue
  ran=$((ran + 1))
  name=$(basename "$fuzzer")
  corpus=build/fuzz/corpus/$name
  mkdir -p "$corpus"
  echo "fuzzing $name for $seconds s"
  if ! "$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
    -artifact_prefix="$corpus-finding-" "$corpus" >"$corpus.log" 2>&1; then
    tail -n 40 "$corpus.log" >&2
    echo "fuzz: $name found something; the input is $corpus-finding-*, the log $corpus.log" >&2
    exit 1
  fi
done
((ran > 0)) || {
  echo "fuzz: build/fuzz/fuzz holds no fuzzer" >&2
  exit 1
}
echo "$ran fuzzers, no finding"
