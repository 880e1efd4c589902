#!/usr/bin/env bash
# fuzz.sh TIME: runs every fuzz target of the project for TIME, found by name so that none is forgotten.
# Shrinking what it finds interesting is cut short: by default it can take all of TIME.
set -euo pipefail
time=$1
cd "$(dirname "$0")/.."
n=0
while IFS=: read -r file _ func; do
  target=$(sed -E 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/' <<<"$func")
  echo "== $(dirname "$file") $target"
  go test "./$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 100x
  n=$((n + 1))
done < <(grep -rn --include='*_test.go' -E '^func Fuzz' internal)
echo "$n fuzz targets ran for $time each"
