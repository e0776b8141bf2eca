#!/usr/bin/env bash
# bench.sh - the benchmarks, on an optimised build.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/build.sh bench callgate_cli kernel_cache
python3 bench/startup.py build/bench/bin/callgate

echo
echo "the kernel's cache of allowed numbers beside bpf::IsConstantAllow"
build/bench/bench/kernel_cache
