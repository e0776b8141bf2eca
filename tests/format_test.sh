#!/usr/bin/env bash
# Every C++ file is as clang-format-19 has it; mend with `make format`.
set -euo pipefail
cd "$(dirname "$0")/.."

# The test of the test: a file out of shape is noticed.
if printf 'int  x ;\n' | clang-format-19 --dry-run -Werror --assume-filename=x.cc 2>/dev/null; then
  echo "format_test: clang-format-19 let 'int  x ;' pass" >&2
  exit 1
fi
count=$(scripts/sources.sh | wc -l)
if ((count < 10)); then
  echo "format_test: only $count files found; the list must be wrong" >&2
  exit 1
fi
scripts/sources.sh | xargs clang-format-19 --dry-run -Werror || {
  echo "format_test: mend with 'make format'" >&2
  exit 1
}
