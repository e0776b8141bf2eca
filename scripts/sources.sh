#!/usr/bin/env bash
# sources.sh - prints the C++ files of the tree, one a line; new ones need not be committed yet.
set -euo pipefail
cd "$(dirname "$0")/.."
git -c safe.directory='*' ls-files --cached --others --exclude-standard -- '*.cc' '*.h' | while read -r file; do
  if [[ -e $file ]]; then echo "$file"; fi
done
