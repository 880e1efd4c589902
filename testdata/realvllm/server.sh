#!/usr/bin/env bash
# server.sh install                      a real vLLM 0.32 for CPUs into .vllm (1 GB down, 2.5 GB on disk), and a tiny model
# server.sh start PORT [vLLM flags]      start it on 127.0.0.1:PORT and wait until it is ready
# server.sh kill-engine PORT            kill its engine process, as a crash would
# server.sh stop PORT
# Python 3.11, gcc, nm and readelf are needed. PYTHON names another interpreter.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
venv=$root/.vllm run=$root/.vllm-run model=$root/.vllm-run/tiny-gemma
# Byte code must be cached: without it each of the server's three processes compiles torch anew.
unset PYTHONDONTWRITEBYTECODE

install() {
  [ -f "$run/installed" ] && return
  mkdir -p "$run"
  "${PYTHON:-python3.11}" -m venv "$venv"
  "$venv/bin/pip" install -q uv
  "$venv/bin/uv" pip install -q --python "$venv/bin/python" --no-deps -r "$here/requirements.txt"
  "$venv/bin/python" "$here/cuda_stubs.py" "$venv/lib/python3.11/site-packages"
  "$venv/bin/python" "$here/make_model.py" "$model"
  touch "$run/installed"
}

ready() { [ "$(curl -s -o /dev/null -m 2 -w '%{http_code}' "http://127.0.0.1:$1/health")" = 200 ]; }

start() {
  local port=$1; shift
  export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 NO_COLOR=1 VLLM_CPU_KVCACHE_SPACE=1 VLLM_CACHE_ROOT="$run/cache"
  # A session of its own: API process, engine and worker end together.
  setsid "$venv/bin/python" -W ignore -m vllm.entrypoints.openai.api_server --model "$model" --served-model-name tiny-gemma \
    --host 127.0.0.1 --port "$port" --max-model-len 4096 --max-num-seqs 8 --enforce-eager "$@" </dev/null >"$run/$port.log" 2>&1 &
  local pid=$! began=$SECONDS
  echo "$pid" >"$run/$port.pid"
  until ready "$port"; do
    kill -0 "$pid" 2>/dev/null || { echo "the server ended:" >&2; tail -5 "$run/$port.log" >&2; exit 1; }
    [ $((SECONDS - began)) -lt 300 ] || { echo "not ready after 300 s" >&2; stop "$port"; exit 1; }
    sleep 0.5
  done
}

stop() {
  [ -f "$run/$1.pid" ] || return 0
  local pid; pid=$(cat "$run/$1.pid")
  kill -TERM "$pid" 2>/dev/null || true
  for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
  kill -KILL -- "-$pid" 2>/dev/null || true
  rm -f "$run/$1.pid"
}

# The engine is a process of the server's own session, which no other process has.
kill_engine() { pkill -KILL -s "$(cat "$run/$1.pid")" -f 'VLLM::EngineCore'; }

case ${1:-} in
install) install ;;
start) start "${@:2}" ;;
kill-engine) kill_engine "$2" ;;
stop) stop "$2" ;;
*) sed -n 2,6p "$0"; exit 2 ;;
esac
