#!/usr/bin/env bash
# Prints the Chromium or Chrome of this machine, or says on standard error why there is none. PAINTBOX_BROWSER names another.
set -euo pipefail
if [ -n "${PAINTBOX_BROWSER:-}" ]; then
  echo "$PAINTBOX_BROWSER"
  exit
fi
for name in chromium chromium-browser google-chrome google-chrome-stable chrome; do
  if command -v "$name"; then exit; fi
done
for path in "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" "/Applications/Chromium.app/Contents/MacOS/Chromium"; do
  if [ -x "$path" ]; then
    echo "$path"
    exit
  fi
done
echo "no Chromium or Chrome is installed here, and PAINTBOX_BROWSER names none" >&2
exit 1
