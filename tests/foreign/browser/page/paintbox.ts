// What a front end in a browser needs of Paintbox, over gRPC-Web: a page of its own origin, which `[listen] origins` names,
// with a token; or the daemon's own page, with its session.

import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { AssetService } from "./gen/paintbox/v1/asset_pb.js";
import { CatalogueService, type Model } from "./gen/paintbox/v1/catalogue_pb.js";
import { DaemonService } from "./gen/paintbox/v1/daemon_pb.js";
import { EventService } from "./gen/paintbox/v1/event_pb.js";
import {
  GenerationService,
  Generation_State,
  type Generation,
  type GenerationEvent,
} from "./gen/paintbox/v1/generation_pb.js";

/** How long a watch waits before it connects again, in milliseconds; doubled each time up to the last. */
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 8000;

/** A generation in one of these states never changes again. */
const ENDS: readonly Generation_State[] = [Generation_State.SUCCEEDED, Generation_State.FAILED, Generation_State.CANCELLED];

export function hasEnded(generation: Generation): boolean {
  return ENDS.includes(generation.state);
}

export type Paintbox = ReturnType<typeof connect>;

/**
 * `address` is the web listener's, such as `http://127.0.0.1:7860`. Without a token, the browser's session at the daemon's own
 * page counts, and that is believed of no other page.
 */
export function connect(address: string, token?: string) {
  const baseUrl = address.replace(/\/+$/, "");
  // In the header and nowhere else: the daemon refuses a token that stands in an address.
  const authorization = token ? { authorization: `Bearer ${token}` } : undefined;
  const authorize: Interceptor = (next) => (request) => {
    if (authorization) request.header.set("authorization", authorization.authorization);
    return next(request);
  };
  const transport = createGrpcWebTransport({ baseUrl, interceptors: [authorize] });
  const assets = createClient(AssetService, transport);
  const catalogue = createClient(CatalogueService, transport);
  const daemon = createClient(DaemonService, transport);
  const events = createClient(EventService, transport);
  const generations = createClient(GenerationService, transport);

  /** What a search finds, page by page. */
  async function* pages(
    request: { kind?: string; downloaded?: boolean; orderBy?: string },
    pageSize = 50,
  ): AsyncGenerator<Model[]> {
    let pageToken = "";
    do {
      const page = await catalogue.searchModels({ ...request, pageSize, pageToken });
      yield page.models;
      pageToken = page.nextPageToken;
    } while (pageToken);
  }

  /**
   * What happens to a generation, until it has ended. A connection that breaks is made again, and goes on behind the last event
   * that came: no change of state is missed.
   */
  async function* watch(
    name: string,
    { previews = false, signal }: { previews?: boolean; signal?: AbortSignal } = {},
  ): AsyncGenerator<GenerationEvent> {
    let last: { sequence: bigint; epoch: string } = { sequence: 0n, epoch: "" };
    let pause = FIRST_PAUSE;
    while (true) {
      try {
        const request = { name, previews, afterSequence: last.sequence, epoch: last.epoch };
        for await (const event of generations.watchGeneration(request, { signal })) {
          last = event;
          pause = FIRST_PAUSE;
          yield event;
          if (event.event.case === "generation" && hasEnded(event.event.value)) return;
        }
      } catch (error) {
        if (signal?.aborted || !mayPass(error)) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    }
  }

  /** A picture's bytes over gRPC-Web, in pieces of at most 64 KiB. */
  async function read(asset: string): Promise<{ blob: Blob; pieces: number[] }> {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let type = "";
    for await (const piece of assets.readAsset({ name: asset })) {
      type = piece.asset?.mediaType ?? type;
      parts.push(new Uint8Array(piece.data));
    }
    return { blob: new Blob(parts, { type }), pieces: parts.map((part) => part.length) };
  }

  /**
   * An address for an `<img>`; give it to `URL.revokeObjectURL` when it is no longer shown. An image sends no token along, so
   * that the bytes are fetched with it. The daemon's own page can say `<img src="/assets/…">`.
   */
  async function source(asset: string): Promise<string> {
    const answer = await fetch(`${baseUrl}/${asset}`, { headers: authorization });
    if (!answer.ok) throw new Error(((await answer.json()) as { error: { message: string } }).error.message);
    return URL.createObjectURL(await answer.blob());
  }

  return { assets, catalogue, daemon, events, generations, pages, watch, read, source };
}

/** Whether the same may work a moment later: the connection broke, or the daemon is starting anew or has much to do. */
function mayPass(error: unknown): boolean {
  // What `fetch` throws when a connection breaks has no code of its own, and Connect makes it UNKNOWN.
  const { code } = ConnectError.from(error);
  return code === Code.Unavailable || code === Code.ResourceExhausted || code === Code.Unknown;
}

/** Why a call was refused: a reason of `errors.proto` without its prefix, and a sentence with what to do about it. */
export function why(error: unknown): { reason: string; sentence: string } {
  const failed = ConnectError.from(error);
  const [info] = failed.findDetails(ErrorInfoSchema);
  return { reason: info?.reason ?? "", sentence: [failed.rawMessage, info?.metadata["hint"]].filter(Boolean).join("; ") };
}
