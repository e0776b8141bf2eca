#!/usr/bin/env bash
# tidy.sh - clang-tidy-19 over every source file that changed since it was last found clean.
#
# A file's finding depends on itself, the headers it may include, the compile command, the checks
# and clang-tidy. A file that is clean leaves a stamp named after the hash of all of that, with all
# headers of the tree taken as one: a changed header checks everything again, which is slower than
# it could be and never wrong. Like the compiler cache, the stamps are shared by all checkouts.
# A file takes about 2.4 s of one core (2026-11-26).
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ! -e build/clang/build.ninja ]]; then
  mkdir -p build/clang
  cmake --preset clang >build/clang/configure.log 2>&1 || {
    cat build/clang/configure.log >&2
    exit 1
  }
else
  cmake build/clang >build/clang/configure.log # new files get their compile command
fi
python3 tests/mutate.py . build/clang/tests/mutated # what the mutation test includes
stamps=${XDG_CACHE_HOME:-$HOME/.cache}/callgate/tidy
mkdir -p "$stamps"

# shellcheck disable=SC2046
common=$({
  clang-tidy-19 --version
  cat .clang-tidy $(scripts/sources.sh | grep '\.h$') $(git -c safe.directory='*' ls-files '*.def' '*.inc')
} | sha256sum)

todo=()
keys=()
while read -r file command_hash; do
  key=$(printf '%s %s %s' "$common" "$command_hash" "$(sha256sum <"$file")" | sha256sum | cut -c1-40)
  if [[ ! -e $stamps/$key ]]; then
    todo+=("$file")
    keys+=("$key")
  fi
done < <(python3 - build/clang/compile_commands.json <<'PYTHON'
import hashlib, json, os, sys
for entry in json.load(open(sys.argv[1])):
    file = os.path.relpath(entry["file"])
    if not file.endswith(".cc") or file.startswith("build/"):
        continue  # C and assembly of tests, generated tables
    command = entry["command"].replace(os.getcwd(), "")
    print(file, hashlib.sha256(command.encode()).hexdigest())
PYTHON
)
if ((${#todo[@]} == 0)); then
  echo "tidy: nothing changed since it was last clean"
  exit 0
fi
echo "tidy: ${#todo[@]} files"

check() {
  local file=$1 key=$2 output
  if output=$(clang-tidy-19 -p build/clang --quiet "$file" 2>&1); then
    : >"$stamps/$key"
  else
    printf '%s\n' "$output" | grep -v ' warnings generated\.$' >&2
    return 1
  fi
}
export -f check
export stamps
# xargs exits 123 when a check failed, after all have run.
for ((i = 0; i < ${#todo[@]}; i++)); do printf '%s\0%s\0' "${todo[i]}" "${keys[i]}"; done |
  xargs -0 -n 2 -P "$(nproc)" bash -c 'check "$@"' tidy ||
  {
    echo "tidy: findings above" >&2
    exit 1
  }
