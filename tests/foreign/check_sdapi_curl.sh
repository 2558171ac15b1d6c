#!/usr/bin/env bash
# A1111's interface on a daemon's web listener as curl sees it, along the ways of Open WebUI and SillyTavern.
#
#   PAINTBOX_TOKEN=… check_sdapi_curl.sh BASE_URL
#
# BASE_URL is such as http://127.0.0.1:7780. The token comes by the environment and reaches curl in a file, where no list of
# processes shows it. Ends with `result PASSED FAILED`.
set -uo pipefail
# shellcheck source=curl.sh
. "$(dirname "$0")/curl.sh"

base=$1
fixtures=$(cd "$(dirname "$0")/../fixtures/frontends" && pwd)

(umask 077 && printf 'user = "paintbox:%s"\n' "$PAINTBOX_TOKEN" > "$work/basic")
call() { curl -sS --config "$work/basic" "$@"; }
get() { call --fail "$base/sdapi/v1/$1"; }
post() { call --fail -H 'Content-Type: application/json' --data-binary "$2" "$base/sdapi/v1/$1"; }
refused() { call -o "$work/body" -w '%{http_code}' -H 'Content-Type: application/json' --data-binary "$2" "$base/sdapi/v1/$1"; }

menus_are_filled() {
  local list
  for list in samplers schedulers upscalers latent-upscale-modes sd-models; do
    equal "$(get "$list" | json 'len(d) > 0')" True || return 1
  done
}
the_first_model_is_the_current_one() {
  equal "$(get options | json 'd["sd_model_checkpoint"]')" "$(get sd-models | json 'd[0]["title"]')"
}
options_can_be_sent_back() { equal "$(post options "$(get options)")" null; }
# The fixtures' requests at a size and with steps that a test's model has time for.
small() { json 'json.dumps({**d, "width": 64, "height": 64, "steps": 4, "hr_second_pass_steps": 2, "enable_hr": False})' < "$fixtures/$1"; }
# Each picture that it was heard to ask for.
open_webui_paints() {
  json '"\n".join(json.dumps(each["body"]) for each in d if each["path"].endswith("/txt2img"))' \
    < "$fixtures/open-webui-session.json" > "$work/asked" || return 1
  while read -r body; do
    equal "$(post txt2img "$body" | json 'base64.b64decode(d["images"][0])[:4]')" "b'\\x89PNG'" || return 1
  done < "$work/asked"
  equal "$(wc -l < "$work/asked" | tr -d ' ')" 3
}
silly_tavern_paints() {
  post txt2img "$(small silly-tavern-txt2img.json)" > "$work/answer" || return 1
  equal "$(json 'base64.b64decode(d["images"][0])[:4]' < "$work/answer")" "b'\\x89PNG'" || return 1
  equal "$(json 'json.loads(d["info"])["sampler_name"]' < "$work/answer")" DDIM || return 1
  ! grep -q the-secret-of-the-token "$work/answer"
}
a_picture_says_how_it_was_made() {
  local image
  image=$(json 'd["images"][0]' < "$work/answer")
  equal "$(post png-info "{\"image\": \"$image\"}" | json 'd["parameters"]["Steps"]')" 4
}
a_picture_is_painted_over() {
  local image
  image=$(json 'd["images"][0]' < "$work/answer")
  post img2img "{\"prompt\": \"red heart\", \"steps\": 4, \"init_images\": [\"data:image/png;base64,$image\"]}" > "$work/over"
  equal "$(json 'json.loads(d["info"])["denoising_strength"]' < "$work/over")" 0.75
}
a_picture_becomes_larger() {
  local image
  image=$(json 'd["images"][0]' < "$work/answer")
  post extra-single-image "{\"image\": \"$image\", \"upscaler_1\": \"Lanczos\", \"upscaling_resize\": 2}" > "$work/larger"
  equal "$(json 'int.from_bytes(base64.b64decode(d["image"])[16:20], "big")' < "$work/larger")" 128
}
nothing_is_going_on() { equal "$(get progress | json 'd["progress"], d["state"]["job_count"]')" "0.0 0"; }
an_interruption_of_nothing_is_none() { equal "$(post interrupt '{}')" '{}'; }
scripts_are_refused() {
  equal "$(refused txt2img '{"prompt": "x", "alwayson_scripts": {"ADetailer": {"args": [true]}}}')" 422 || return 1
  equal "$(json 'd["detail"]' < "$work/body")" "always on script ADetailer not found"
}
other_paths_are_refused() { equal "$(refused server-kill '{}')" 404; }
strangers_are_refused() {
  equal "$(curl -s -o "$work/body" -w '%{http_code}' "$base/sdapi/v1/sd-models")" 401
}

check "the menus of front ends are filled" menus_are_filled
check "the first model is the current one" the_first_model_is_the_current_one
check "options can be sent back as they came" options_can_be_sent_back
check "Open WebUI paints" open_webui_paints
check "SillyTavern paints, and its password is not given back" silly_tavern_paints
check "a picture says how it was made" a_picture_says_how_it_was_made
check "a picture is painted over" a_picture_is_painted_over
check "a picture becomes larger" a_picture_becomes_larger
check "nothing is going on afterwards" nothing_is_going_on
check "an interruption of nothing is none" an_interruption_of_nothing_is_none
check "scripts that are not here are refused as A1111 would" scripts_are_refused
check "other paths are refused" other_paths_are_refused
check "strangers are refused" strangers_are_refused
echo "result $passed $failed"
[ "$failed" -eq 0 ]
