#!/usr/bin/env bash
# bench.sh - the benchmarks, on a release build.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/build.sh release callgate_cli
python3 bench/startup.py build/release/bin/callgate
