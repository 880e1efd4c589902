#!/usr/bin/env bash
# e2e.sh BENCH: the whole job against a real vLLM on CPU: verify --wait while it loads, then T1–T9, every
# request's length proven by the server's usage.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bench=$(realpath "$1")
port=${PORT:-18777}
free=$(df -Pk "$here" | awk 'NR==2 {print int($4 / 1048576)}')
if [ ! -d "$here/../../.vllm" ] && [ "$free" -lt 4 ]; then
  echo "e2e skipped: a real vLLM needs 4 GiB of disk, $free are free"
  exit 0
fi
"$here/server.sh" install
trap '"$here/server.sh" stop "$port"' EXIT
"$here/server.sh" start "$port" &
starting=$!
out=$(mktemp -d)
"$bench" verify --base-url "http://127.0.0.1:$port" --wait 5m --out "$out/results"
wait "$starting"
"$bench" run --base-url "http://127.0.0.1:$port" --cooldown 1s --out "$out/results"
# The judgement is a Go test's, which reads the result folder as the program does.
BENCH_E2E_RESULTS=$out/results go test -count=1 -run TestRealServerResults -v ./internal/cli
rm -rf "$out"
