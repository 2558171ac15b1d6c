#!/usr/bin/env bash
# Clients that nobody here wrote, against the fake hub: what they accept is what Paintbox's tests may rely on.
#
# Needs Rust, curl, Python 3 with venv, and Node.js with npm. What Python and Node need is kept in FOREIGN_CACHE (by default
# below the target folder), so that only the first run downloads anything. The browser is this machine's (browser/browser.sh);
# where there is none, that part is left out and said to be.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
requirements="huggingface_hub==2.4.0 grpcio==1.85.1 grpcio-reflection==1.85.1 grpcio-tools==1.85.1 openai==3.57.0"
target=$(cd "$root" && cargo metadata --format-version 1 --no-deps --quiet | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')
cache=${FOREIGN_CACHE:-$target/foreign}

venv="$cache/venv-$(cksum <<< "$requirements" | cut -d' ' -f1)"
if ! "$venv/bin/python" -c 'import huggingface_hub, grpc_reflection, grpc_tools, openai' 2> /dev/null; then
  rm -rf "$venv"
  mkdir -p "$cache"
  python3 -m venv "$venv"
  # shellcheck disable=SC2086 # a list of requirements
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check $requirements
fi

packages=$("$here/npm.sh")

# With the tests, which need both programs: what is built for one package alone is built from other parts.
(cd "$root" && cargo test --quiet --workspace --locked --no-run)

work=$(mktemp -d)
cleanup() {
  # Servers end when their input does.
  exec 3>&- 4>&-
  wait 2> /dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

# Starts a server that prints one line of JSON once it is ready and ends when its input does: this shell holds the
# other end open, as file descriptor $1. The line is left in $line.
serve() {
  local descriptor=$1 seconds=$2 name=$3 server
  shift 3
  mkfifo "$work/$name.input"
  "$@" < "$work/$name.input" > "$work/$name.output" 2> "$work/$name.errors" 3>&- 4>&- &
  server=$!
  eval "exec $descriptor> \"$work/$name.input\""
  for _ in $(seq $((seconds * 10))); do
    [ -s "$work/$name.output" ] && break
    kill -0 "$server" 2> /dev/null || break
    sleep 0.1
  done
  line=$(head -1 "$work/$name.output")
  [ -n "$line" ] || { echo "$name did not start"; cat "$work/$name.errors"; exit 1; }
}
serve 3 10 fake-hub "$target/debug/fake-hub" --require-token
export FAKE_HUB=$line

# Only this machine is spoken to: no proxy, no account, no cache of the person who runs this.
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY HF_TOKEN HUGGING_FACE_HUB_TOKEN HF_HUB_CACHE
export HF_HOME="$work/hf-home" HF_HUB_DISABLE_XET=1 HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_PROGRESS_BARS=1
HF_ENDPOINT=$(python3 -c 'import json,os; print(json.loads(os.environ["FAKE_HUB"])["hf"])')
export HF_ENDPOINT

passed=0
failed=0
run() {
  local lines result
  lines=$("$@" 2>> "$work/stderr") || true
  result=$(grep '^result ' <<< "$lines" | tail -1 || true)
  grep -v '^result ' <<< "$lines" || true
  if [ -z "$result" ]; then
    echo "FAILED  $1 ended without a result"
    cat "$work/stderr"
    failed=$((failed + 1))
  else
    read -r _ good bad <<< "$result"
    passed=$((passed + good))
    failed=$((failed + bad))
  fi
}
run "$venv/bin/python" "$here/check_huggingface_hub.py"
run bash "$here/check_civitai_curl.sh"
# The daemon, with what it synced from a fake hub of its own.
serve 4 120 daemon "$target/debug/demo" --serve
field() { python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1" <<< "$line"; }
run "$venv/bin/python" "$here/check_grpc.py" "$(field socket)" "$(field model)"
# Tokens come by the environment, which no list of processes shows.
token=$(field token)
web=$(field web)
PAINTBOX_TOKEN=$token run "$venv/bin/python" "$here/check_openai.py" "${web%/}/v1" "$(field model)"
PAINTBOX_TOKEN=$token run bash "$here/check_sdapi_curl.sh" "${web%/}"
mkdir "$work/stubs"
"$venv/bin/python" -m grpc_tools.protoc -I "$root/proto" --python_out "$work/stubs" --grpc_python_out "$work/stubs" \
  "$root"/proto/paintbox/v1/*.proto
# Through the socket as the user; over TCP with a token.
for at in "unix:$(field socket)" "$(field tcp)"; do
  case $at in
    unix:*) unset PAINTBOX_TOKEN ;;
    *) export PAINTBOX_TOKEN=$token ;;
  esac
  run "$venv/bin/python" "$here/check_python.py" "$work/stubs" "$at" "$(field model)"
  run node "$here/check_node.mjs" "$packages" "$root/proto" "$at" "$(field model)"
done

left_out=
if browser=$("$here/browser/browser.sh" 2> "$work/no-browser"); then
  "$here/browser/build.sh" "$packages" "$work/page"
  PAINTBOX_TOKEN=$token PAINTBOX_HOME=$(field home) \
    run node "$here/check_browser.mjs" "$packages" "$work/page" "$browser" "$web" "$(field program)" "$(field model)"
else
  left_out=", the browser left out"
  echo "LEFT OUT  the browser: $(cat "$work/no-browser")"
fi

echo "foreign clients: $passed passed, $failed failed$left_out"
[ "$failed" -eq 0 ]
