// A browser: the example page of `browser/page` in headless Chromium speaks gRPC-Web to a daemon; the daemon's own page signs
// it in; and pages that nobody named try what pages try.
//
//     node check_browser.mjs PACKAGES FOLDER BROWSER WEB PROGRAM MODEL
//
// PACKAGES is a folder with node_modules as package-lock.json pins them, FOLDER what `browser/build.sh` made, BROWSER a Chromium
// or Chrome, WEB the address of the web listener, whose origins name http://localhost:5173, PROGRAM `paintbox`, which
// PAINTBOX_HOME tells where the daemon is. PAINTBOX_TOKEN may generate. Ends with `result PASSED FAILED`.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { serve } from "./browser/serve.mjs";

const [packages, folder, browserPath, address, program, model] = process.argv.slice(2);
const { chromium } = createRequire(join(packages, "package.json"))("playwright-core");
const token = process.env.PAINTBOX_TOKEN;
const web = new URL(address);

/** Longer than anything here takes, in milliseconds. */
const PATIENCE = 120_000;
const FRIEND = "http://localhost:5173";
const STRANGER = "http://stranger.example";
const FORM = (action) => `<!doctype html><title>A form</title>
<form method="post" enctype="text/plain" action="${action}">
<input name='{"model": "${model}", "prompt": "driven by", "steps": 1, "x": "' value='"}'></form>`;

let passed = 0;
let failed = 0;
let name = "browser";
function check(what, truth, seen) {
  truth ? passed++ : failed++;
  console.log(truth ? "passed " : "FAILED ", `${name}: ${what}`);
  if (!truth && seen !== undefined) console.log("        saw", typeof seen === "string" ? seen : JSON.stringify(seen));
}

/** Runs a function in a page, also in one whose policy lets no script in. */
async function inPage(page, work, ...given) {
  return evaluate(page, `(${work})(...${JSON.stringify(given)})`);
}

async function evaluate(page, expression) {
  const session = await page.context().newCDPSession(page);
  try {
    const asked = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await session.send("Runtime.evaluate", asked);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  } finally {
    await session.detach();
  }
}

const said = (page, id) => page.textContent(id);
const until = (page, work) => page.waitForFunction(work, undefined, { timeout: PATIENCE });

/** `paintbox web` as a person runs it; the address that it prints. */
function doorway() {
  return execFileSync(program, ["web", "--no-open"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
}

async function theExamplePagePaints(context) {
  name = "page of a named origin";
  const page = await context.newPage();
  await page.goto(`${FRIEND}/`);
  await page.fill("#address", address);
  await page.fill("#token", "paintbox_guessed");
  await page.click("#door button");
  await until(page, () => document.querySelector("#state").textContent !== "");
  check(
    "a token that is none is refused with a reason",
    (await said(page, "#state")).includes("(TOKEN_INVALID)"),
    await said(page, "#state"),
  );

  await page.fill("#token", token);
  await page.click("#door button");
  await until(page, () => document.querySelector("#state").textContent.startsWith("Connected"));
  check("it connects", /^Connected to Paintbox \d/.test(await said(page, "#state")));
  const options = await page.$$eval("#model option", (all) => all.map((option) => option.value));
  check(`it offers the ${options.length} checkpoint that is here`, options.length === 1);

  await page.fill("#prompt", "red heart");
  await page.fill("#steps", "25");
  await page.fill("#size", "64");
  await page.click("#wish button:not([type=button])");
  await until(page, () => /^(succeeded|failed|cancelled)/.test(document.querySelector("#state").textContent));
  check("it paints and watches", (await said(page, "#state")) === "succeeded.", await said(page, "#state"));
  await until(page, () => document.querySelector("#pictures img")?.complete);
  const shown = await page.$eval("#pictures img", (image) => [
    image.naturalWidth,
    image.naturalHeight,
    new URL(image.src).protocol,
  ]);
  check("the picture is shown", shown.join() === "64,64,blob:", shown);
  check("steps were counted", await page.$eval("#progress", (progress) => progress.max === 25 && progress.value > 0));

  await page.fill("#steps", "150");
  await page.fill("#size", "256");
  await page.click("#wish button:not([type=button])");
  await until(page, () => /^sampling [1-9]/.test(document.querySelector("#state").textContent));
  await page.click("#stop");
  await until(page, () => /^(succeeded|failed|cancelled)/.test(document.querySelector("#state").textContent));
  check("it stops what it asked for", (await said(page, "#state")) === "cancelled.", await said(page, "#state"));
  return page;
}

async function theClientDoesWhatItPromises(page) {
  name = "connect-web";
  const names = await inPage(
    page,
    async (address, token) => {
      const paintbox = connect(address, token);
      const pages = [];
      for await (const page of paintbox.pages({ orderBy: "name" }, 2)) pages.push(page.map((model) => model.name));
      const { models } = await paintbox.catalogue.searchModels({ orderBy: "name", pageSize: 500 });
      return { pages, whole: models.map((model) => model.name) };
    },
    address,
    token,
  );
  check(`the catalogue has ${names.whole.length} models on ${names.pages.length} pages`, names.pages.length > 1);
  check("pages hold what the whole holds", names.pages.flat().join() === names.whole.join(), names);

  const read = await inPage(
    page,
    async (address, token, model) => {
      const paintbox = connect(address, token);
      const { name } = await paintbox.generations.createGeneration({
        spec: { model, prompt: "red heart", seed: 7n, steps: 2, width: 64, height: 64 },
      });
      let ended;
      for await (const { event } of paintbox.watch(name)) if (event.case === "generation") ended = event.value;
      const { asset } = ended.images[0];
      const digest = async (blob) => {
        const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
        return `assets/${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
      };
      const { blob, pieces } = await paintbox.read(asset);
      const source = await paintbox.source(asset);
      const overHttp = await (await fetch(source)).blob();
      return { asset, type: blob.type, pieces, digests: [await digest(blob), await digest(overHttp)] };
    },
    address,
    token,
    model,
  );
  check(
    "a picture read in pieces is the asset that was named",
    read.digests[0] === read.asset && read.type === "image/png",
    read,
  );
  check("no piece is over 64 KiB", read.pieces.length > 0 && Math.max(...read.pieces) <= 64 * 1024, read.pieces);
  check("a picture read over HTTP is the same", read.digests[1] === read.asset, read);

  const resumed = await inPage(
    page,
    async (address, token, model) => {
      const paintbox = connect(address, token);
      const { name } = await paintbox.generations.createGeneration({
        spec: { model, prompt: "red heart", steps: 25, width: 128, height: 128 },
      });
      const first = [];
      const leaving = new AbortController();
      try {
        for await (const { sequence, epoch, event } of paintbox.generations.watchGeneration(
          { name },
          { signal: leaving.signal },
        )) {
          first.push({ sequence: Number(sequence), epoch, what: event.case });
          if (event.case === "progress" && event.value.step > 0) leaving.abort();
        }
      } catch (error) {
        if (!leaving.signal.aborted) throw error;
      }
      const last = first.at(-1);
      const second = [];
      const request = { name, afterSequence: BigInt(last.sequence), epoch: last.epoch };
      for await (const { sequence, epoch, event } of paintbox.generations.watchGeneration(request)) {
        const state = event.case === "generation" ? event.value.state : undefined;
        second.push({ sequence: Number(sequence), epoch, what: event.case, state });
      }
      const foreign = [];
      for await (const { event } of paintbox.generations.watchGeneration({ ...request, epoch: "of another life" }))
        foreign.push(event.case);
      return { first, second, foreign };
    },
    address,
    token,
    model,
  );
  const { first, second } = resumed;
  check(
    "a watch is taken up behind the last event that was seen",
    second.every(({ sequence, epoch }) => sequence > first.at(-1).sequence && epoch === first[0].epoch),
    resumed,
  );
  check("and brings the end", second.at(-1)?.state === 3, second.at(-1));
  check("numbers of another life mean nothing", resumed.foreign[0] === "generation", resumed.foreign);

  const told = await inPage(
    page,
    async (address, token, model) => {
      const paintbox = connect(address, token);
      const leaving = new AbortController();
      const kinds = [];
      let name;
      try {
        for await (const { event } of paintbox.events.watchEvents({ topics: [1] }, { signal: leaving.signal })) {
          kinds.push(event.case);
          if (event.case === "snapshot") {
            ({ name } = await paintbox.generations.createGeneration({
              spec: { model, prompt: "red heart", steps: 2, width: 64, height: 64 },
            }));
          }
          if (event.case === "generation" && event.value.name === name && hasEnded(event.value)) leaving.abort();
        }
      } catch (error) {
        if (!leaving.signal.aborted) throw error;
      }
      return kinds;
    },
    address,
    token,
    model,
  );
  check(
    "one stream tells of everything",
    told[0] === "snapshot" && told.filter((kind) => kind === "generation").length >= 2,
    told,
  );

  const refusals = await inPage(
    page,
    async (address, token) => {
      const paintbox = connect(address, token);
      const refused = async (call) =>
        call.then(
          () => "done",
          (error) => why(error).reason,
        );
      return [
        await refused(paintbox.catalogue.resolveModel({ reference: "civitai:424242" })),
        await refused(paintbox.daemon.stopDaemon({})),
        await refused(paintbox.daemon.getServerInfo({}, { timeoutMs: 30_000, headers: { authorization: "Bearer x y" } })),
        await refused(connect(address).daemon.getServerInfo({})),
      ];
    },
    address,
    token,
  );
  const wanted = ["MODEL_NOT_FOUND", "TOKEN_SCOPE_MISSING", "done", "TOKEN_REQUIRED"];
  check("errors say their reasons across origins", refusals.join() === wanted.join(), refusals);
}

/** A way to the daemon that can be cut. */
async function cable() {
  const sockets = new Set();
  const server = createServer((here) => {
    const there = connect(web.port, web.hostname);
    for (const [from, to] of [
      [here, there],
      [there, here],
    ]) {
      sockets.add(from);
      from.pipe(to);
      from.on("error", () => {}).on("close", () => (sockets.delete(from), to.destroy()));
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => sockets.forEach((socket) => socket.destroy());
  return { port: server.address().port, cut, close: () => (server.close(), cut()) };
}

async function aBrokenConnectionIsMadeUpFor(context, cut) {
  name = "connect-web";
  const page = await context.newPage();
  await page.goto(`${FRIEND}/`);
  // Another name of the same listener, which leads through the cable.
  await page.fill("#address", `http://localhost:${web.port}`);
  await page.fill("#token", token);
  await page.click("#door button");
  await page.fill("#prompt", "red heart");
  await page.fill("#steps", "40");
  await page.fill("#size", "128");
  await page.click("#wish button:not([type=button])");
  await until(page, () => /^sampling [1-9]/.test(document.querySelector("#state").textContent));
  const broken = page.waitForEvent("requestfailed", { timeout: PATIENCE });
  cut();
  await broken;
  await until(page, () => /^(succeeded|failed|cancelled)/.test(document.querySelector("#state").textContent));
  check("a watch outlives a broken connection", (await said(page, "#state")) === "succeeded.", await said(page, "#state"));
  await page.close();
}

async function theDaemonsOwnPageSignsIn(browser, context) {
  name = "the daemon's page";
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  const link = doorway();
  await page.goto(link);
  await until(page, () => document.querySelector("#state").textContent.startsWith("Signed in"));
  check("the code of `paintbox web` signs a browser in", true);
  check("the code is out of the address", page.url() === `${web.origin}/`, page.url());
  await page.fill("#prompt", "red heart");
  await page.click("#paint");
  await until(page, () => !/^(Painting|$)/.test(document.querySelector("#news").textContent));
  await until(page, () => document.querySelector("#picture").complete);
  const painted = await page.$eval("#picture", (image) => image.naturalWidth);
  check("the page paints a picture", painted > 0, [painted, await said(page, "#news")]);
  check("the browser finds nothing to complain of", complaints.length === 0, complaints);
  check("scripts do not see the cookie", (await inPage(page, () => document.cookie)) === "");

  const other = await browser.newContext();
  const late = await other.newPage();
  await late.goto(link);
  await until(late, () => /paintbox web/.test(document.querySelector("#state").textContent));
  check("a code that was used says what to do", /code/.test(await said(late, "#state")), await said(late, "#state"));
  await late.goto(`${web.origin}/`);
  await until(late, () => /paintbox web/.test(document.querySelector("#state").textContent));
  check(
    "a browser that is not signed in is told how",
    /not signed in/.test(await said(late, "#state")),
    await said(late, "#state"),
  );
  await other.close();

  // What a page of the daemon's own could do; its policy lets no other script in than its own, so that this comes from outside.
  await evaluate(
    page,
    `${readFileSync(join(folder, "paintbox.global.js"), "utf8")}; globalThis.paintbox = paintbox; undefined`,
  );
  const asset = await inPage(
    page,
    async (origin, model) => {
      const client = paintbox.connect(origin);
      const { name } = await client.generations.createGeneration({
        spec: { model, prompt: "red heart", steps: 2, width: 64, height: 64 },
      });
      let ended;
      for await (const { event } of client.watch(name)) if (event.case === "generation") ended = event.value;
      return ended.images[0].asset;
    },
    web.origin,
    model,
  );
  check("a session paints over gRPC-Web", /^assets\/[0-9a-f]{64}$/.test(asset), asset);
  const width = await inPage(
    page,
    (asset) =>
      new Promise((resolve) => {
        const image = new Image();
        image.addEventListener("load", () => resolve(image.naturalWidth));
        image.addEventListener("error", () => resolve("refused"));
        image.src = `/${asset}`;
      }),
    asset,
  );
  check("an image of the page shows the picture", width === 64, width);
  return { page, asset };
}

async function signingOutEndsStreams(page) {
  name = "the daemon's page";
  await inPage(
    page,
    (origin) => {
      globalThis.watching = (async () => {
        try {
          for await (const _ of paintbox.connect(origin).events.watchEvents({})) globalThis.began = true;
          return "it ended";
        } catch (error) {
          return paintbox.why(error).reason;
        }
      })();
    },
    web.origin,
  );
  await until(page, () => globalThis.began === true);
  await page.click("#leave");
  await until(page, () => document.querySelector("#state").textContent.startsWith("Signed out"));
  const ended = await inPage(page, () => globalThis.watching);
  check("signing out ends the streams that are open", ended === "SESSION_EXPIRED", ended);
  const refused = await inPage(
    page,
    (origin) =>
      paintbox
        .connect(origin)
        .daemon.getServerInfo({})
        .catch((error) => paintbox.why(error).reason),
    web.origin,
  );
  check("and whoever is signed out is refused", refused === "TOKEN_REQUIRED" || refused === "SESSION_EXPIRED", refused);
}

/** The browser is signed in, and a page of somebody else's is open in it. */
async function strangersAreRefused(context, asset, neighbour) {
  const jobs = () => {
    const lines = execFileSync(program, ["--json", "jobs"], { encoding: "utf8" });
    return lines.split("\n").filter(Boolean).length;
  };
  const before = jobs();
  const attempts = (address, asset, model) => {
    const body = JSON.stringify({ model, prompt: "driven by", steps: 1 });
    const url = `${address}v1/images/generations`;
    const get = (path, more) => fetch(address + path, { credentials: "include", ...more });
    const tried = {
      "JSON, after asking": () =>
        get("v1/images/generations", { method: "POST", body, headers: { "content-type": "application/json" } }),
      "text, without asking": () =>
        get("v1/images/generations", { method: "POST", body, headers: { "content-type": "text/plain" } }),
      "gRPC-Web": () =>
        get("paintbox.v1.CatalogueService/SearchModels", {
          method: "POST",
          body: new Uint8Array(5),
          headers: { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" },
        }),
      "a look at the session": () => get("session"),
      "a look at a picture": () => get(asset),
    };
    const image = new Promise((resolve) => {
      const shown = new Image();
      shown.addEventListener("load", () => resolve("read"));
      shown.addEventListener("error", () => resolve("refused"));
      shown.src = address + asset;
    });
    const all = Object.entries(tried).map(async ([what, call]) => [
      what,
      await call().then(
        () => "read",
        () => "refused",
      ),
    ]);
    // An answer that it cannot read may still have done something.
    const blind = fetch(url, { method: "POST", mode: "no-cors", credentials: "include", body }).then(
      () => "sent",
      () => "refused",
    );
    return Promise.all([...all, image.then((found) => ["an image", found]), blind.then(() => ["blindly", "refused"])]);
  };
  for (const [who, origin] of [
    ["a page of another site", STRANGER],
    ["a page of another port, which cookies go to", neighbour],
  ]) {
    name = who;
    const page = await context.newPage();
    // What went to the daemon as it went over the wire, preflights too: its status, and whether the session's cookie was there.
    const sent = new Map();
    const session = await context.newCDPSession(page);
    await session.send("Network.enable");
    const about = (id) => sent.get(id) ?? sent.set(id, {}).get(id);
    session.on("Network.requestWillBeSentExtraInfo", ({ requestId, headers }) => {
      const known = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
      Object.assign(about(requestId), { cookie: /paintbox-session/.test(known.cookie ?? ""), origin: known.origin });
    });
    session.on("Network.responseReceivedExtraInfo", ({ requestId, statusCode }) => (about(requestId).status = statusCode));
    session.on("Network.requestWillBeSent", ({ requestId, request }) => (about(requestId).url = request.url));
    await page.goto(`${origin}/stranger`);
    const outcomes = await inPage(page, attempts, address, asset, model);
    const read = outcomes.filter(([, outcome]) => outcome !== "refused");
    check(`it reads nothing (${outcomes.length} attempts)`, read.length === 0, read);
    await page.goto(`${origin}/form`);
    await inPage(page, () => document.forms[0].submit());
    await page.waitForURL((url) => url.host === web.host, { timeout: PATIENCE });
    check(
      "a form that it sends is refused",
      /ORIGIN_FORBIDDEN/.test(await page.textContent("body")),
      await page.textContent("body"),
    );
    // What was not allowed by a preflight never went, and a picture may come out of the browser's own cache, unreadable all the
    // same. The page that shows the refusal is the daemon's, and asks for an icon as such.
    const asked = [...sent.values()].filter(
      ({ url, status }) => status && new URL(url).host === web.host && !url.endsWith("/favicon.ico"),
    );
    const refused = asked.filter(({ status }) => status === 403);
    check(
      `the daemon refused all that came (${asked.length})`,
      asked.length >= 6 && refused.length === asked.length,
      asked,
    );
    const cookies = asked.filter(({ cookie }) => cookie).length;
    if (origin === STRANGER) check("the browser kept the session's cookie to itself", cookies === 0, asked);
    else check("though the browser sent the session's cookie along", cookies > 0, asked);
    await page.close();
  }
  name = "a name that was bound to this machine";
  const page = await context.newPage();
  const answer = await page.goto(`http://rebound.example:${web.port}/v1/models`);
  check(
    "is no host of the daemon's",
    answer.status() === 403 && /HOST_FORBIDDEN/.test(await answer.text()),
    answer.status(),
  );
  await page.close();
  name = "pages of strangers";
  check("nothing was painted for them", jobs() === before, [before, jobs()]);
}

async function main() {
  const pages = {
    "/stranger": "<!doctype html><title>A stranger</title>",
    "/form": FORM(`${address}v1/images/generations`),
  };
  const server = await serve(folder, 0, pages);
  const { port } = server.address();
  // The origins have the names that a person would see; nothing is looked up, and nobody but this machine is spoken to.
  const { port: cablePort, cut, close } = await cable();
  const names = [
    `MAP localhost:5173 127.0.0.1:${port}`,
    `MAP localhost:${web.port} 127.0.0.1:${cablePort}`,
    `MAP stranger.example 127.0.0.1:${port}`,
    `MAP rebound.example 127.0.0.1:${web.port}`,
  ];
  const quiet = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ];
  const rules = `--host-resolver-rules=${[...names, "MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"].join(", ")}`;
  const browser = await chromium.launch({ executablePath: browserPath, headless: true, args: [...quiet, rules] });
  try {
    console.log("       ", `Chromium ${browser.version()}`);
    const friend = await browser.newContext();
    const page = await theExamplePagePaints(friend);
    await theClientDoesWhatItPromises(page);
    await aBrokenConnectionIsMadeUpFor(friend, cut);
    const own = await browser.newContext();
    const { page: signedIn, asset } = await theDaemonsOwnPageSignsIn(browser, own);
    await strangersAreRefused(own, asset, `http://127.0.0.1:${port}`);
    await signingOutEndsStreams(signedIn);
  } finally {
    await browser.close();
    server.close();
    close();
  }
}

try {
  await main();
} catch (error) {
  check(`the browser came to its end: ${error.stack}`, false);
}
console.log("result", passed, failed);
process.exit(0);
