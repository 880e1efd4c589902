#!/bin/sh
# glibc.sh PROGRAM VERSION: fails if the program needs a newer glibc than that.
set -eu
newest=$(readelf -V "$1" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -uV | tail -1)
test -n "$newest" || { echo "$1 is not linked against glibc" >&2; exit 1; }
echo "$1 needs glibc $newest"
test "$(printf '%s\n%s\n' "$newest" "$2" | sort -V | tail -1)" = "$2" || { echo "$1 needs glibc $newest, $2 is wanted" >&2; exit 1; }
