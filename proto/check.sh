#!/usr/bin/env bash
# Lints the contract and compares it with the one that was last released, both with buf (see buf.yaml).
#
# The released contract is the descriptor set paintbox.v1.binpb. Without npm,
# `cargo test -p paintbox-tests --test tidy contract` makes the comparison as well; the same test with
# PAINTBOX_WRITE_CONTRACT=1 in its environment renews the set, and refuses to where something was taken away. While nothing
# was released, PAINTBOX_WRITE_CONTRACT=anew begins afresh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
packages=$("$here/../tests/foreign/npm.sh")
cd "$here"
"$packages/node_modules/.bin/buf" lint
"$packages/node_modules/.bin/buf" breaking --against paintbox.v1.binpb
echo "the contract is in order and takes nothing away"
