# What checks with curl have in common; sourced by them, which end with `result PASSED FAILED`.

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0
name="curl $(curl --version | awk 'NR == 1 { print $2 }')"

check() {
  local what=$1
  shift
  if "$@" > "$work/log" 2>&1; then
    passed=$((passed + 1))
    echo "passed  $name: $what"
  else
    failed=$((failed + 1))
    echo "FAILED  $name: $what"
    sed 's/^/        /' "$work/log"
  fi
}

equal() { [ "$1" = "$2" ] || { echo "got      $1"; echo "expected $2"; return 1; }; }
# What `python3 -c` sees as `d`, the JSON on standard input.
json() { python3 -c "import base64,json,sys; d = json.load(sys.stdin); print($1)"; }
