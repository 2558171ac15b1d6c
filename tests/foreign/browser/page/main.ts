// A small front end: connects, lists the checkpoints that are here, paints with one, shows how far it is, and stops it.

import { Generation_State } from "./gen/paintbox/v1/generation_pb.js";
import { connect, hasEnded, why, type Paintbox } from "./paintbox.js";

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const door = element<HTMLFormElement>("door");
const address = element<HTMLInputElement>("address");
const token = element<HTMLInputElement>("token");
const wish = element<HTMLFormElement>("wish");
const model = element<HTMLSelectElement>("model");
const prompt = element<HTMLTextAreaElement>("prompt");
const steps = element<HTMLInputElement>("steps");
const size = element<HTMLInputElement>("size");
const stop = element<HTMLButtonElement>("stop");
const progress = element<HTMLProgressElement>("progress");
const state = element<HTMLParagraphElement>("state");
const pictures = element<HTMLElement>("pictures");

let paintbox: Paintbox | undefined;
let painting: string | undefined;

async function tell(work: () => Promise<void>) {
  try {
    await work();
  } catch (error) {
    const { reason, sentence } = why(error);
    state.textContent = reason ? `${sentence} (${reason})` : sentence;
  }
}

door.addEventListener("submit", (event) => {
  event.preventDefault();
  void tell(async () => {
    // The token stays in this page's memory: whatever can read a browser's storage could read it there.
    const found = connect(address.value, token.value);
    const { version } = await found.daemon.getServerInfo({});
    const options: HTMLOptionElement[] = [];
    for await (const page of found.pages({ kind: "checkpoint", downloaded: true, orderBy: "name" })) {
      options.push(...page.map(({ displayName, ref }) => new Option(displayName, ref)));
    }
    model.replaceChildren(...options);
    paintbox = found;
    wish.hidden = false;
    state.textContent = `Connected to Paintbox ${version}.`;
  });
});

wish.addEventListener("submit", (event) => {
  event.preventDefault();
  const found = paintbox;
  if (!found) return;
  void tell(async () => {
    const number = (input: HTMLInputElement) => (input.value ? Number(input.value) : undefined);
    const spec = {
      model: model.value,
      prompt: prompt.value,
      steps: number(steps),
      width: number(size),
      height: number(size),
    };
    const { name } = await found.generations.createGeneration({ spec, client: "example page" });
    painting = name;
    stop.disabled = false;
    for await (const { event } of found.watch(name, { previews: true })) {
      if (event.case === "progress") {
        const { phase, step, totalSteps } = event.value;
        // Phases without steps leave it where it is.
        if (totalSteps) [progress.max, progress.value] = [totalSteps, step];
        state.textContent = `${phase.replaceAll("_", " ")} ${totalSteps ? `${step} of ${totalSteps}` : ""}`;
      } else if (event.case === "preview") {
        show([URL.createObjectURL(new Blob([new Uint8Array(event.value.jpeg)], { type: "image/jpeg" }))]);
      } else if (event.case === "generation" && hasEnded(event.value)) {
        stop.disabled = true;
        painting = undefined;
        show(await Promise.all(event.value.images.map(({ asset }) => found.source(asset))));
        const { failure } = event.value;
        state.textContent = failure
          ? `${failure.message} (${failure.reason})`
          : `${Generation_State[event.value.state]}.`.toLowerCase();
      }
    }
  });
});

stop.addEventListener("click", () => {
  const [found, name] = [paintbox, painting];
  if (found && name) void tell(async () => void (await found.generations.cancelGeneration({ name })));
});

function show(sources: string[]) {
  const old = [...pictures.querySelectorAll("img")];
  pictures.replaceChildren(
    ...sources.map((source) => {
      const image = new Image();
      image.src = source;
      image.alt = prompt.value;
      return image;
    }),
  );
  for (const image of old) URL.revokeObjectURL(image.src);
}

// For whoever looks around in the browser's console, and for the checks.
Object.assign(globalThis, { connect, hasEnded, why });
