#!/usr/bin/env bash
# Installs the tools and clients from npm that node/package-lock.json pins, and prints the folder that has them. Nothing is
# fetched again until the lock file changes; no package's own scripts are run. Needs npm.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
if ! command -v npm > /dev/null || ! command -v node > /dev/null; then
  echo "npm is not installed here, and what it would bring is needed: install Node.js 20 or later with npm" >&2
  exit 1
fi
target=${CARGO_TARGET_DIR:-$root/target}
folder=${FOREIGN_CACHE:-$target/foreign}/node-$(cksum < "$here/node/package-lock.json" | cut -d' ' -f1)
if [ ! -f "$folder/installed" ]; then
  rm -rf "$folder"
  mkdir -p "$folder"
  cp "$here/node/package.json" "$here/node/package-lock.json" "$folder"
  (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
  touch "$folder/installed"
fi
echo "$folder"
