#!/usr/bin/env bash
# vuln.sh: known vulnerabilities that this program's code reaches. Those of a dependency fail: a newer one is to be taken.
# Those of the standard library are told only: they belong to the Go that builds, and a newer Go is the cure. Where neither
# the database nor the module that holds its reports can be reached, it says so and checks nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
tool=golang.org/x/vuln/cmd/govulncheck@v1.9.0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

check() { # check [FLAG...]: 0 clean, 3 vulnerabilities, anything else: it could not check
  local rc=0
  go run "$tool" "$@" ./... >"$tmp/said" 2>"$tmp/failed" || rc=$?
  # go run has its own exit code and prints the program's.
  if grep -q '^exit status 3$' "$tmp/failed"; then rc=3; fi
  return $rc
}

rc=0
check || rc=$?
if [ $rc -ne 0 ] && [ $rc -ne 3 ]; then
  module=$(cd "$tmp" && go mod download -json golang.org/x/vulndb@latest 2>/dev/null) || module=
  reports=$(sed -n 's/.*"Dir": "\(.*\)".*/\1/p' <<<"$module")
  if [ -z "$reports" ]; then
    echo "vulnerabilities were NOT checked: neither vuln.go.dev nor the module golang.org/x/vulndb can be reached ($(tail -1 "$tmp/failed"))"
    exit 0
  fi
  echo "vuln.go.dev cannot be reached; the reports are those of $(basename "$reports")"
  go run ./testdata/vulndb "$reports/data/osv" "$tmp/db"
  rc=0
  check -db "file://$tmp/db" || rc=$?
fi
case $rc in
0) echo "no known vulnerability is reached" ;;
3)
  cat "$tmp/said"
  if grep -q '^  Module: ' "$tmp/said"; then
    echo "a dependency has a known vulnerability: take a newer one"
    exit 1
  fi
  echo "only the standard library of $(go env GOVERSION) has known vulnerabilities: build with a newer Go"
  ;;
*)
  cat "$tmp/failed" >&2
  exit 1
  ;;
esac
