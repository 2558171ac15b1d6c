#!/usr/bin/env bash
# The fake hub as curl sees it, along the way that CivitAI documents: list a creator, follow the pages, download with a
# token, go on after a break. Called by run.sh with the fake hub's endpoints in FAKE_HUB (one line of JSON).
set -uo pipefail
# shellcheck source=curl.sh
. "$(dirname "$0")/curl.sh"

field() { python3 -c 'import json,os,sys; print(json.loads(os.environ["FAKE_HUB"])[sys.argv[1]])' "$1"; }

civitai=$(field civitai)
token=$(field civitai_token)
creator=$(field creator)

sha256() { if command -v sha256sum > /dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1 | tr a-f A-F; }
get() { curl -sS --fail "$@"; }
status() { curl -s -o "$work/body" -w '%{http_code}' "$@"; }

listing="$civitai/api/v1/models?username=$creator&nsfw=true&sort=Newest&limit=100"

a_creator_is_listed_newest_first() {
  equal "$(get "$listing" | json '", ".join(m["name"] for m in d["items"])')" "Lantern, Greyscale, Tiny Emoji"
}

pages_are_followed_to_the_end() {
  local url="$civitai/api/v1/models?username=$creator&nsfw=true&sort=Newest&limit=1" names="" page
  while [ -n "$url" ]; do
    page=$(get "$url") || return 1
    names="$names$(json '"".join(m["name"] + "." for m in d["items"])' <<< "$page")"
    url=$(json 'd["metadata"].get("nextPage", "")' <<< "$page")
  done
  equal "$names" "Lantern.Greyscale.Tiny Emoji."
}

cursors_work_without_the_link() {
  local cursor
  cursor=$(get "$civitai/api/v1/models?username=$creator&sort=Newest&limit=2" | json 'd["metadata"]["nextCursor"]')
  equal "$(get -G "$civitai/api/v1/models" --data-urlencode "cursor=$cursor" -d "username=$creator" -d sort=Newest -d limit=2 |
    json 'd["items"][0]["name"]')" "Tiny Emoji"
}

nobody_is_not_found() {
  equal "$(status "$civitai/api/v1/models?username=nobody_at_all")" 404 && equal "$(cat "$work/body")" '{"message":"User not found"}'
}

checkpoint() { get "$listing" | json "[m for m in d['items'] if m['type'] == 'Checkpoint'][0]['modelVersions'][0]['files'][0]$1"; }

a_download_needs_the_token() {
  equal "$(status "$(checkpoint "['downloadUrl']")")" 401 &&
    grep -q 'requires you to be logged in' "$work/body"
}

a_download_with_the_token_arrives_whole() {
  get -L -H "Authorization: Bearer $token" -o "$work/model" "$(checkpoint "['downloadUrl']")" &&
    equal "$(sha256 "$work/model")" "$(checkpoint "['hashes']['SHA256']")"
}

a_download_with_the_token_in_the_url_arrives_whole() {
  get -L -o "$work/other" "$(checkpoint "['downloadUrl']")?token=$token" && cmp "$work/model" "$work/other"
}

the_storage_refuses_a_forwarded_token() {
  equal "$(status -L --location-trusted -H "Authorization: Bearer $token" "$(checkpoint "['downloadUrl']")")" 400 &&
    grep -q 'InvalidRequest' "$work/body"
}

the_server_names_the_file() {
  (cd "$work" && get -L -OJ -H "Authorization: Bearer $token" "$(checkpoint "['downloadUrl']")") && cmp "$work/model" "$work/tiny-emoji.safetensors"
}

a_broken_download_goes_on() {
  head -c 1000000 "$work/model" > "$work/part" &&
    get -L -C - -H "Authorization: Bearer $token" -o "$work/part" -D "$work/headers" "$(checkpoint "['downloadUrl']")" &&
    grep -qi '^content-range: bytes 1000000-' "$work/headers" && cmp "$work/model" "$work/part"
}

a_browser_is_sent_to_a_page() {
  equal "$(status -L -A 'Mozilla/5.0' "$(checkpoint "['downloadUrl']")")" 200 && grep -qi '<!doctype html' "$work/body"
}

a_file_is_found_by_its_short_digest() {
  equal "$(get "$civitai/api/v1/model-versions/by-hash/$(checkpoint "['hashes']['AutoV2']" | tr A-F a-f)" | json 'd["model"]["name"]')" "Tiny Emoji"
}

the_token_has_an_account() {
  equal "$(status "$civitai/api/v1/me")" 401 &&
    equal "$(get -H "Authorization: Bearer $token" "$civitai/api/v1/me" | json 'd["username"]')" you
}

pictures_are_pictures() {
  get -o "$work/picture" "$(get "$listing" | json 'd["items"][0]["modelVersions"][0]["images"][0]["url"]')" &&
    equal "$(head -c 4 "$work/picture" | od -An -tx1 | tr -d ' ')" 89504e47
}

early_access_is_told_with_its_end() {
  equal "$(status -H "Authorization: Bearer $token" "$civitai/api/download/models/3220243")" 403 &&
    equal "$(json 'd["error"] + " " + d["deadline"][:4]' < "$work/body")" "Early Access 2099"
}

for one in a_creator_is_listed_newest_first pages_are_followed_to_the_end cursors_work_without_the_link \
  nobody_is_not_found a_download_needs_the_token a_download_with_the_token_arrives_whole \
  a_download_with_the_token_in_the_url_arrives_whole the_storage_refuses_a_forwarded_token \
  the_server_names_the_file a_broken_download_goes_on a_browser_is_sent_to_a_page \
  a_file_is_found_by_its_short_digest the_token_has_an_account pictures_are_pictures early_access_is_told_with_its_end; do
  check "${one//_/ }" "$one"
done
echo "result $passed $failed"
[ "$failed" -eq 0 ]
