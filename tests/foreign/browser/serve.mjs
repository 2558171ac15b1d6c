// Serves a built page on this machine.
//
//     node serve.mjs FOLDER [PORT]
//
// Without a port it is 5173, whose origin http://localhost:5173 is then to be named by `[listen] origins` in config.toml.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".map": "application/json",
  ".ts": "text/plain",
};

/** Serves a folder, and further pages by their paths; the server, once it listens. */
export async function serve(folder, port, pages = {}) {
  const server = createServer(async (request, answer) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const headers = (path) => ({
      "content-type": TYPES[extname(path)] ?? "application/octet-stream",
      "cache-control": "no-store",
    });
    if (pathname in pages) return answer.writeHead(200, headers("page.html")).end(pages[pathname]);
    const path = join(folder, normalize(pathname.endsWith("/") ? `${pathname}index.html` : pathname));
    try {
      const bytes = await readFile(path);
      answer.writeHead(200, headers(path)).end(bytes);
    } catch {
      answer.writeHead(404, headers("page.html")).end("There is nothing here.");
    }
  });
  await new Promise((resolve, reject) => server.once("error", reject).listen(port, "127.0.0.1", resolve));
  return server;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const [, , folder, port = "5173"] = argv;
  const server = await serve(folder, Number(port));
  console.log(`http://localhost:${server.address().port}`);
}
