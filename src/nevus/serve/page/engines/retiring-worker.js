// Answered by `nevus serve` to a browser that has seen a page of `nevus web` at the same address: the worker of that
// page would go on showing it. This one takes its place, clears what it kept, and goes.

const OURS = `nevus ${new URL(registration.scope).pathname} `;

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(retire()));

async function retire() {
  const names = (await caches.keys()).filter((name) => name.startsWith(OURS));
  for (const name of names) {
    // The browser's own cache may have the old files too: each is asked for anew.
    const requests = await (await caches.open(name)).keys();
    await Promise.allSettled(requests.map(({ url }) => fetch(url, { cache: "reload" })));
    await caches.delete(name);
  }
  await registration.unregister();
  for (const client of await clients.matchAll({ type: "window" })) client.navigate(client.url);
}
