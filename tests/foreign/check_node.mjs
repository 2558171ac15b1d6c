// A client in Node with @grpc/grpc-js: it has the .proto files and an address, and generates, watches, cancels, pages and
// reads.
//
//     node check_node.mjs PACKAGES PROTOS TARGET MODEL
//
// PACKAGES is a folder with node_modules as package-lock.json pins them. TARGET is `unix:` and a path, or `host:port`; with
// PAINTBOX_TOKEN in the environment, calls carry that token. Ends with `result PASSED FAILED`.

import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [packages, protos, target, model] = process.argv.slice(2);
const require = createRequire(join(packages, "package.json"));
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

let passed = 0;
let failed = 0;
function check(what, truth) {
  truth ? passed++ : failed++;
  console.log(truth ? "passed " : "FAILED ", `grpc-js ${target.split(":")[0]}: ${what}`);
}

const files = readdirSync(join(protos, "paintbox/v1")).filter((name) => name.endsWith(".proto"));
const definition = loader.loadSync(
  files.map((name) => join("paintbox/v1", name)),
  { includeDirs: [protos], keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true },
);
const { v1 } = grpc.loadPackageDefinition(definition).paintbox;

const metadata = new grpc.Metadata();
if (process.env.PAINTBOX_TOKEN) metadata.set("authorization", `Bearer ${process.env.PAINTBOX_TOKEN}`);

// A service whose unary methods are promises; streams are asynchronous iterators.
function connect(Service) {
  const client = new Service(target, grpc.credentials.createInsecure());
  const unary = (name, request, seconds = 120) =>
    new Promise((resolve, reject) => {
      const deadline = Date.now() + seconds * 1000;
      client[name](request, metadata, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  return { unary, stream: (name, request) => client[name](request, metadata) };
}

// The google.rpc.ErrorInfo of an error, read as far as `reason` and `domain` are in it.
function errorInfo(error) {
  const [details] = error.metadata.get("grpc-status-details-bin");
  const text = details?.toString("latin1") ?? "";
  return { reason: /[A-Z]+(?:_[A-Z]+)+/.exec(text.split("google.rpc.ErrorInfo")[1] ?? "")?.[0], domain: text.includes("paintbox") };
}

const spec = { model, prompt: "red heart", seed: 7, steps: 25, guidance_scale: 3, sampler: "dpmpp_2m", width: 64, height: 64 };

async function main() {
  const daemon = connect(v1.DaemonService);
  const catalogue = connect(v1.CatalogueService);
  const generations = connect(v1.GenerationService);
  const assets = connect(v1.AssetService);

  const info = await daemon.unary("GetServerInfo", {});
  check(`the daemon says its version ${info.version}`, info.api_packages.includes("paintbox.v1"));

  // The catalogue, page by page, is what one large page is.
  const whole = await catalogue.unary("SearchModels", { page_size: 500, order_by: "name" });
  const names = [];
  let page_token = "";
  let pages = 0;
  do {
    const page = await catalogue.unary("SearchModels", { page_size: 2, order_by: "name", page_token });
    names.push(...page.models.map((each) => each.name));
    page_token = page.next_page_token;
    pages++;
  } while (page_token && pages < 1000);
  check(`the catalogue has ${names.length} models on ${pages} pages`, pages > 1 && names.length === whole.total_size);
  check("pages hold what the whole holds", names.join() === whole.models.map((each) => each.name).join());
  const basic = await catalogue.unary("GetModel", { name: names[0], view: "MODEL_VIEW_BASIC" });
  const full = await catalogue.unary("GetModel", { name: names[0] });
  check("a view says how much comes", basic.versions.length === 0 && full.versions.length > 0 && basic.ref === full.ref);
  const resolved = await catalogue.unary("ResolveModel", { reference: model });
  check("a state is an enum", resolved.model.state === "STATE_PUBLISHED");

  const created = await generations.unary("CreateGeneration", { spec });
  const events = [];
  for await (const event of generations.stream("WatchGeneration", { name: created.name })) events.push(event);
  const sequences = events.map((event) => event.sequence);
  const grow = sequences.every((sequence, at) => at === 0 || Number(sequence) >= Number(sequences[at - 1]));
  check("events are numbered", grow && Number(sequences[0]) < Number(sequences[sequences.length - 1]));
  check("the first event is the whole generation", events[0].event === "generation");
  const ended = events.filter((event) => event.event === "generation").at(-1).generation;
  check("the generation succeeded", !ended.failure && ended.images.length === 1);

  const { asset } = ended.images[0];
  const pieces = [];
  for await (const piece of assets.stream("ReadAsset", { name: asset })) pieces.push(piece.data);
  const bytes = Buffer.concat(pieces);
  check("the picture is the asset that was named", asset === `assets/${createHash("sha256").update(bytes).digest("hex")}`);
  check("no piece is over 64 KiB", pieces.every((piece) => piece.length <= 64 * 1024));
  check("the picture is a PNG", bytes.subarray(1, 4).toString() === "PNG");

  // A long one, which is stopped; leaving the watch does not stop it, cancelling does.
  const long = await generations.unary("CreateGeneration", { spec: { ...spec, steps: 150, width: 256, height: 256 } });
  const watch = generations.stream("WatchGeneration", { name: long.name });
  await new Promise((resolve, reject) => {
    watch.once("data", resolve);
    watch.once("error", reject);
  });
  watch.on("error", () => {});
  watch.cancel();
  const still = await generations.unary("GetGeneration", { name: long.name });
  check("leaving a watch leaves the generation", !still.end_time);
  await generations.unary("CancelGeneration", { name: long.name });
  let stopped;
  for await (const event of generations.stream("WatchGeneration", { name: long.name })) {
    if (event.event === "generation") stopped = event.generation;
  }
  check("a cancelled generation ends as one", /cancelled$/i.test(stopped.state));

  try {
    await catalogue.unary("ResolveModel", { reference: "civitai:424242" });
    check("an unknown model is refused", false);
  } catch (error) {
    const { reason, domain } = errorInfo(error);
    check("an unknown model is NOT_FOUND for a reason", error.code === grpc.status.NOT_FOUND && reason === "MODEL_NOT_FOUND" && domain);
  }
}

try {
  await main();
} catch (error) {
  check(`the client came to its end: ${error.stack}`, false);
}
console.log("result", passed, failed);
process.exit(0);
