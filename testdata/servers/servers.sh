#!/usr/bin/env bash
# servers.sh BENCH: servers that are not vLLM, on CPU, from packages into .servers: llama.cpp (0.2 GB), and transformers'
# own server where `make e2e` has left its packages in .vllm. Each is verified, measured and analysed; what has to be found is
# judged by a Go test. What cannot be installed in three minutes is skipped, and the reason printed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
home=$root/.servers vllm=$root/.vllm
bench=$(realpath "$1")
port=${PORT:-28790}
began=$SECONDS
out=$(mktemp -d)
pids=()
stop() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  pids=()
}
trap 'stop; rm -rf "$out"' EXIT
skip() { echo "skipped $1: $2"; }

# install NAME ARGUMENTS…: packages by pip, within the time there is.
install() {
  local name=$1; shift
  [ ! -f "$home/$name.done" ] || return 0
  if timeout 180 "$home/venv/bin/pip" install -q --disable-pip-version-check "$@" >"$home/$name.log" 2>&1; then
    touch "$home/$name.done"
  else
    tail -1 "$home/$name.log"
    return 1
  fi
}

# measured NAME MATRIX FLAGS…: verify, then a test below and one above what the server computes at once.
measured() {
  local name=$1 matrix=$2; shift 2
  "$bench" verify --base-url "http://127.0.0.1:$port" --wait 3m --out "$out/$name" "$@"
  "$bench" stress --base-url "http://127.0.0.1:$port" --matrix "$here/$matrix" --cooldown 0s --out "$out/$name" "$@"
  "$bench" analyze --out "$out/$name" >/dev/null
}

free=$(df -Pk "$root" | awk 'NR==2 {print int($4 / 1048576)}')
if [ "$free" -lt 1 ]; then
  skip "all servers" "they need 1 GiB of disk"
  exit 0
fi
mkdir -p "$home"
[ -x "$home/venv/bin/pip" ] || "${PYTHON:-python3}" -m venv "$home/venv"

if why=$(install llamacpp --only-binary :all: -r "$here/requirements.txt"); then
  model=$home/tiny.gguf
  [ -f "$model" ] || "$home/venv/bin/python" "$here/make_gguf.py" "$model"
  "$home/venv/bin/python" "$here/llamacpp.py" "$model" "$port" 4 8192 >"$home/llamacpp.server.log" 2>&1 &
  pids+=($!)
  measured llamacpp four-slots.yaml
  "$bench" stress --base-url "http://127.0.0.1:$port" --concurrent 4 --requests 6 --runs 2 --cooldown 0s --dataset-name custom \
    --dataset-path "$here/dataset.jsonl" --out "$out/dataset"
  stop
else
  skip llama.cpp "$why"
fi

if [ ! -d "$root/.vllm-run/tiny-gemma" ]; then
  skip transformers "its packages come with make e2e, which was not run here"
elif why=$(install accelerate --no-deps --target "$home/accelerate" accelerate==1.15.0); then
  mkdir -p "$home/hf/hub"
  PYTHONPATH=$home/accelerate HF_HOME=$home/hf HF_HUB_OFFLINE=1 "$vllm/bin/transformers" serve "$root/.vllm-run/tiny-gemma" --device cpu \
    --host 127.0.0.1 --port "$port" >"$home/transformers.server.log" 2>&1 &
  pids+=($!)
  measured transformers one-at-a-time.yaml --timeout 5m --served-model "$root/.vllm-run/tiny-gemma"
  stop
else
  skip transformers "$why"
fi

BENCH_E2E_SERVERS=$out go test -count=1 -run TestOtherServers -v ./internal/cli
echo "servers: $((SECONDS - began)) s, $(du -sh "$home" | cut -f1) in .servers"
