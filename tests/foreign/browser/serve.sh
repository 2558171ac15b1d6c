#!/usr/bin/env bash
# Builds the example page and serves it at http://localhost:5173, for whoever wants to see it or start from it.
#
# The daemon's configuration must name that origin:
#
#   [listen]
#   web = "127.0.0.1:7860"
#   origins = ["http://localhost:5173"]
#
# and the page wants a token: paintbox token create "a page" --scope generate
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
packages=$("$here/../npm.sh")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$here/build.sh" "$packages" "$folder"
node "$here/serve.mjs" "$folder"
