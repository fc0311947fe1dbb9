// Both `nevus serve` and the static server of docs/serve.md are at http://127.0.0.1:8000/ unless told otherwise. To a
// browser that has seen a page of `nevus web` there, that page's worker would go on showing it, with its own model. This
// one, which `nevus serve` answers at the same address, takes its place, clears what it kept, and goes.

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const OURS = `nevus ${new URL(worker.registration.scope).pathname} `;

worker.addEventListener("install", () => worker.skipWaiting());
worker.addEventListener("activate", (event) => event.waitUntil(retire()));

async function retire() {
  const names = (await caches.keys()).filter((name) => name.startsWith(OURS));
  for (const name of names) {
    // The browser's own cache may have the old files too: each is fetched again.
    const requests = await (await caches.open(name)).keys();
    await Promise.allSettled(requests.map(({ url }) => fetch(url, { cache: "reload" })));
    await caches.delete(name);
  }
  await worker.registration.unregister();
  for (const client of await worker.clients.matchAll({ type: "window" })) client.navigate(client.url);
}
