#!/usr/bin/env bash
# Builds the example page into a folder that can be served as it is: stubs from the .proto files, types checked, one script.
#
#   build.sh PACKAGES FOLDER
#
# PACKAGES is what ../npm.sh prints. FOLDER becomes the page's, with its sources.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
packages=$(cd "$1" && pwd)
mkdir -p "$2"
folder=$(cd "$2" && pwd)
cp -R "$here/page/." "$here/buf.gen.yaml" "$here/tsconfig.json" "$folder"
rm -rf "$folder/gen"
ln -sfn "$packages/node_modules" "$folder/node_modules"
cd "$folder"
for from in "$here/../../../proto" "$here"; do
  node_modules/.bin/buf generate "$from"
done
node_modules/.bin/tsc --project tsconfig.json
node_modules/.bin/esbuild main.ts --bundle --format=esm --target=es2023 --sourcemap --log-level=warning --outfile=main.js
# Its client alone, for pages without modules: everything that paintbox.ts exports, as `paintbox.…`.
node_modules/.bin/esbuild paintbox.ts --bundle --format=iife --global-name=paintbox --target=es2023 --log-level=warning \
  --outfile=paintbox.global.js
