#!/usr/bin/env bash
# e2e.sh BENCH: the whole job against a real vLLM on CPU: verify --wait while it loads, then T1–T9, every
# request's length proven by the server's usage; then token ids and conversations, a second client, the simulator's
# conformance, preemption, an engine that is killed, and queueing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bench=($(realpath "$1"))
# The server keeps both processors of a small machine busy, and some kernels then let a program that sleeps often wait
# for seconds: the client, and this script, which must disturb it in time. Where that is allowed both go first, they need
# a hundredth of a processor, and the server is started as an ordinary program.
ordinary=()
if chrt -r -p 1 $$ 2>/dev/null; then ordinary=(chrt -o 0); fi
start() { "${ordinary[@]}" "$here/server.sh" start "$@"; }
# lines N PID FILES: waits until the files that match have N lines, for two minutes at most and while PID lives.
lines() {
  for _ in $(seq 1200); do
    [ "$(cat $3 2>/dev/null | wc -l)" -lt "$1" ] || return 0
    kill -0 "$2" 2>/dev/null || break
    sleep 0.1
  done
  echo "$3 had no $1 lines in time" >&2
  return 1
}
port=${PORT:-18777}
free=$(df -Pk "$here" | awk 'NR==2 {print int($4 / 1048576)}')
if [ ! -d "$here/../../.vllm" ] && [ "$free" -lt 4 ]; then
  echo "e2e skipped: a real vLLM needs 4 GiB of disk, $free are free"
  exit 0
fi
"$here/server.sh" install
trap '"$here/server.sh" stop "$port"' EXIT
start "$port" &
starting=$!
out=$(mktemp -d)
"${bench[@]}" verify --base-url "http://127.0.0.1:$port" --wait 5m --out "$out/results"
wait "$starting"
"${bench[@]}" run --base-url "http://127.0.0.1:$port" --cooldown 1s --out "$out/results"

# Prompts of token ids, of which half is shared, and conversations whose histories the server's prefix cache finds.
"${bench[@]}" stress --base-url "http://127.0.0.1:$port" --concurrent 2 --requests 6 --runs 1 --warmup 1 --cooldown 0s --endpoint completions --prompt-token-ids \
  --random-prefix-len 256 --input-tokens 60 --output-tokens 8 --out "$out/ids"
"${bench[@]}" stress --base-url "http://127.0.0.1:$port" --concurrent 2 --requests 4 --runs 1 --warmup 1 --cooldown 0s --multi-turn --multi-turn-num-turns 3 \
  --multi-turn-delay-ms 300 --per-turn-input-len 60 --input-tokens 200 --output-tokens 20 --out "$out/talks"

# A second client that comes in the middle of a test: three answers at a time, four times.
"${bench[@]}" stress --base-url "http://127.0.0.1:$port" --concurrent 2 --output-tokens 300 --runs 6 --cooldown 1s --out "$out/foreign" &
measuring=$!
lines 2 "$measuring" "$out/foreign/requests/c2-*.jsonl"
others=()
for _ in 1 2 3; do
  for _ in 1 2 3 4; do
    curl -s -m 20 -o /dev/null -H 'Content-Type: application/json' "http://127.0.0.1:$port/v1/completions" \
      -d '{"model":"tiny-gemma","prompt":"one two three","max_tokens":150,"ignore_eos":true}'
  done &
  others+=($!)
done
wait "${others[@]}"
wait "$measuring"

# The simulator must answer as this server does.
BENCH_E2E_SERVER=http://127.0.0.1:$port go test -count=1 -run TestConformance -v ./internal/sim
"$here/server.sh" stop "$port"

# A client that others wrote must take the simulator for a server.
BENCH_E2E_CLIENT=$here/../../.vllm/bin/python BENCH_E2E_TOKENIZER=$here/../../.vllm-run/tiny-gemma go test -count=1 -run TestForeignClient -v ./internal/cli

# A pool too small for its requests, so that they are preempted, and the simulator's scheduler must preempt the
# same; then the engine is killed under a test, and the server comes back with two slots while the client waits
# for it.
start "$port" --num-gpu-blocks-override 40 --max-model-len 640
BENCH_E2E_CROWDED=http://127.0.0.1:$port go test -count=1 -run TestSchedulerFollows -v ./internal/sim
"${bench[@]}" stress --base-url "http://127.0.0.1:$port" --matrix "$here/disturbed.yaml" --cooldown 1s --wait-return 4m --out "$out/disturbed" &
measuring=$!
lines 3 "$measuring" "$out/disturbed/requests/killed*.jsonl"
"$here/server.sh" kill-engine "$port"
"$here/server.sh" stop "$port"
start "$port" --num-gpu-blocks-override 40 --max-model-len 640 --max-num-seqs 2
wait "$measuring"
"${bench[@]}" analyze --out "$out/disturbed"

# The judgement is a Go test's, which reads the result folders as the program does.
BENCH_E2E_RESULTS=$out go test -count=1 -run TestRealServer -v ./internal/cli
rm -rf "$out"
