#!/usr/bin/env bash
# build.sh PRESET [TARGET...] - configures build/PRESET if need be and builds.
set -euo pipefail
cd "$(dirname "$0")/.."

# Checkouts in different folders share what ccache keeps.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1

preset=${1:?usage: build.sh PRESET [TARGET...]}
shift
dir=build/$preset
mkdir -p "$dir"
if [[ ! -e $dir/build.ninja ]]; then
  echo "configuring $dir"
  if ! cmake --preset "$preset" >"$dir/configure.log" 2>&1; then
    cat "$dir/configure.log" >&2
    echo "build: cmake could not configure preset '$preset'; what it said is above" >&2
    exit 1
  fi
fi
echo "building $dir"
# On a terminal ninja keeps one line up to date; in a log it would write one for every file.
quiet=--quiet
if [[ -t 1 ]]; then quiet=; fi
ninja -C "$dir" ${quiet:+"$quiet"} "$@"
