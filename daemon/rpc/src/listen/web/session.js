// Signs this browser in with the one-time code that stands behind the `#` of the address, and lets it paint a picture. Browsers
// send no part of an address behind a `#`, and the code is taken out of it, and so out of the history, before anything else.
"use strict";

const part = (id) => document.getElementById(id);
const code = new URLSearchParams(location.hash.slice(1)).get("code");
history.replaceState(null, "", location.pathname);

// What a browser may, by its scope.
const MAY = {
  read: "look at models, jobs and pictures",
  generate: "look at models, jobs and pictures, and paint",
  admin: "do everything that this daemon can",
};

async function ask(path, method = "GET", body) {
  const json = body && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, { method, ...json });
  } catch {
    throw new Error("The daemon does not answer. `paintbox daemon start` starts it.");
  }
  const said = answer.status === 204 ? {} : await answer.json();
  if (answer.ok) return said;
  const { message, hint } = said.error;
  const error = new Error(
    [message, hint]
      .filter(Boolean)
      .map((text) => text[0].toUpperCase() + text.slice(1))
      .join(". "),
  );
  error.status = answer.status;
  throw error;
}

// Shows a sentence; what stands in backquotes is a command.
function say(id, sentence) {
  const pieces = sentence.split("`").map((text, at) => {
    if (at % 2 === 0) return text;
    const command = document.createElement("code");
    command.textContent = text;
    return command;
  });
  part(id).replaceChildren(...pieces);
}

// Who this browser is: none if it is not signed in.
async function session() {
  try {
    return await ask("/session");
  } catch (error) {
    if (error.status === 401) return undefined;
    throw error;
  }
}

async function signIn() {
  if (!code) return session();
  try {
    return await ask("/session", "POST", { code });
  } catch (error) {
    // A link that is opened a second time, in the browser that it signed in.
    const known = await session();
    if (known) return known;
    throw error;
  }
}

async function begin() {
  const found = await signIn();
  if (!found) return say("state", "This browser is not signed in. `paintbox web` in a terminal opens this page signed in.");
  say("state", `Signed in, for twelve hours at most. This browser may ${MAY[found.scope] ?? found.scope}.`);
  part("leave").hidden = false;
  if (found.scope === "read") return;
  const { data } = await ask("/v1/models");
  part("model").replaceChildren(...data.map(({ id }) => new Option(id.replace(/ \[[0-9A-Fa-f]+\]$/, ""), id)));
  part("wish").hidden = data.length === 0;
  if (data.length === 0) say("news", "There is no model here to paint with. `paintbox pull REF` fetches one.");
}

async function paint() {
  const [model, prompt] = [part("model").value, part("prompt").value];
  part("paint").disabled = true;
  say("news", "Painting… Whoever closes this page takes the wish back.");
  try {
    const { data, output_format } = await ask("/v1/images/generations", "POST", { model, prompt });
    part("picture").src = `data:image/${output_format};base64,${data[0].b64_json}`;
    part("picture").alt = prompt;
    part("picture").hidden = false;
    say("news", `Painted, with the seed ${data[0].seed}. \`paintbox jobs\` lists it.`);
  } finally {
    part("paint").disabled = false;
  }
}

async function leave() {
  await ask("/session", "DELETE");
  for (const id of ["leave", "wish", "picture"]) part(id).hidden = true;
  say("news", "");
  say("state", "Signed out. `paintbox web` in a terminal signs in again.");
}

part("wish").addEventListener("submit", (event) => {
  event.preventDefault();
  paint().catch((error) => say("news", error.message));
});
part("leave").addEventListener("click", () => leave().catch((error) => say("news", error.message)));
begin().catch((error) => say("state", error.message));
