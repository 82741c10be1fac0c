#!/usr/bin/env bash
# Builds Quire, serves the demo model and streams a completion to the terminal. The server goes on
# until Enter (or Ctrl-C); with --once it stops after the completion.
set -euo pipefail
cd "$(dirname "$0")/.."
once=${1:-}

tools/install_deps.sh
cmake --preset release >/dev/null
cmake --build --preset release --target quire-server quire

server=build/release/server/quire-server
client=build/release/client/quire
log=$(mktemp)
"$server" --model models/fairytale --listen 127.0.0.1:0 >"$log" &
server_pid=$!
trap 'kill "$server_pid" 2>/dev/null || true; wait "$server_pid" 2>/dev/null || true; rm -f "$log"' EXIT
trap 'exit 130' INT TERM
until grep -q '^quire-server ready on ' "$log"; do
  kill -0 "$server_pid" 2>/dev/null || exit 1
  sleep 0.05
done
address=$(sed -n 's/^quire-server ready on //p' "$log")

prompt="Once upon a time there was a little girl who"
printf '\n%s' "$prompt"
"$client" generate "$prompt" --server "$address" --max-tokens 120 --temperature 0.8 --top-p 0.95 --seed 7
printf '\n\n'
cat <<EOF
That was Quire on $address. Ask for more in another terminal:

  $client generate "The old king had three sons, and" --server $address --max-tokens 200
  $client info --server $address
EOF
[ "$once" = "--once" ] && exit 0
printf '\nPress Enter to stop the server. '
read -r _ || true
