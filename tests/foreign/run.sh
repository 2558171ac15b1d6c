#!/usr/bin/env bash
# Clients that nobody here wrote, against the fake hub: what they accept is what Paintbox's tests may rely on.
#
# Needs Rust, curl and Python 3 with venv. The environment for Python is kept in FOREIGN_CACHE (by default below the
# target folder), so that only the first run downloads anything.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
requirement="huggingface_hub==2.4.0"
target=$(cd "$root" && cargo metadata --format-version 1 --no-deps --quiet | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')
cache=${FOREIGN_CACHE:-$target/foreign}

venv="$cache/venv-${requirement//==/-}"
if ! "$venv/bin/python" -c 'import huggingface_hub' 2> /dev/null; then
  rm -rf "$venv"
  mkdir -p "$cache"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$requirement"
fi

(cd "$root" && cargo build --quiet --package paintbox-testkit --bin fake-hub)
program="$target/debug/fake-hub"

work=$(mktemp -d)
cleanup() {
  exec 3>&-
  [ -z "${server:-}" ] || wait "$server" 2> /dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

# The server ends when its input does: this shell holds the other end open.
mkfifo "$work/input"
"$program" --require-token < "$work/input" > "$work/endpoints" &
server=$!
exec 3> "$work/input"
for _ in $(seq 100); do
  [ -s "$work/endpoints" ] && break
  kill -0 "$server" 2> /dev/null || { echo "the fake hub ended at its start"; exit 1; }
  sleep 0.1
done
FAKE_HUB=$(cat "$work/endpoints")
export FAKE_HUB
[ -n "$FAKE_HUB" ] || { echo "the fake hub said nothing"; exit 1; }

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

echo "foreign clients: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
