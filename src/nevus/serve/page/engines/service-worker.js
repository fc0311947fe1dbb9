// Keeps the whole page for use without a network. `nevus web` fills in the files and their version.

const VERSION = "@VERSION@";
/** @type {string[]} */
const FILES = [/* @FILES@ */];

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

// Caches belong to the whole host, which may hold several pages, each in a folder of its own.
const OURS = `nevus ${new URL(worker.registration.scope).pathname} `;
const CACHE = OURS + VERSION;

worker.addEventListener("install", (event) => event.waitUntil(keep()));
worker.addEventListener("activate", (event) => event.waitUntil(forgetOthers()));
worker.addEventListener("fetch", (event) => {
  const isOurs = event.request.method === "GET" && new URL(event.request.url).origin === location.origin;
  if (isOurs) event.respondWith(answer(event.request));
});

async function keep() {
  // Past the browser's own cache, which may still have files of another version.
  const requests = FILES.map((file) => new Request(file, { cache: "reload" }));
  await (await caches.open(CACHE)).addAll(requests);
  await worker.skipWaiting();
}

async function forgetOthers() {
  const others = (await caches.keys()).filter((name) => name.startsWith(OURS) && name !== CACHE);
  await Promise.all(others.map((name) => caches.delete(name)));
  await worker.clients.claim();
}

/** @param {Request} request */
async function answer(request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(request, { ignoreSearch: true })) ?? fetch(request);
}
