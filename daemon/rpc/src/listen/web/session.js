// Signs this browser in with the one-time code that stands behind the `#` of the address. Browsers send no part of an
// address behind a `#`, and the code is taken out of it, and so out of the history, before anything else.
"use strict";

const state = document.getElementById("state");
const leave = document.getElementById("leave");
const code = new URLSearchParams(location.hash.slice(1)).get("code");
history.replaceState(null, "", location.pathname);

async function ask(method, body) {
  const json = body && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch("/session", { method, ...json });
  const said = answer.status === 204 ? {} : await answer.json();
  if (!answer.ok) throw new Error([said.error.message, said.error.hint].filter(Boolean).join(". "));
  return said;
}

async function tell(asking) {
  try {
    const session = await asking;
    leave.hidden = !session.scope;
    state.textContent = session.scope ? `Signed in. This browser may ${session.scope}.` : "Signed out.";
  } catch (error) {
    leave.hidden = true;
    state.textContent = error.message;
  }
}

leave.addEventListener("click", () => tell(ask("DELETE")));
tell(code ? ask("POST", { code }) : ask("GET"));
