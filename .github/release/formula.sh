#!/usr/bin/env bash
# formula.sh HOMEPAGE URL SHA256: the Homebrew formula for a release whose source archive lies at URL.
set -euo pipefail
sed -e "s|@HOMEPAGE@|$1|" -e "s|@URL@|$2|" -e "s|@SHA256@|$3|" "$(dirname "$0")/paintbox.rb.in"
