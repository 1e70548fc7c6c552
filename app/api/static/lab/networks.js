// All networks, page by page.

import { get, query } from "./api.js";
import { bytes, h, number, table, time } from "./dom.js";

const PAGE = 50;

export async function showNetworks(place, signal) {
  const list = h("div");
  place.append(list);
  await more(list, signal, null);
}

async function more(list, signal, token) {
  const page = await get(query("/v1/networks", { page_size: PAGE, page_token: token }), signal);
  if (!page.items.length && token === null) return list.append(nothing());
  list.append(table("Networks", ["Name", "Parameters", "Size", "Device", "Revision", "Changed", "Labels"],
    page.items.map(row)));
  if (page.next_page_token) {
    const next = h("button", { type: "button", onclick: async () => {
      next.remove();
      await more(list, signal, page.next_page_token);
    } }, "More networks");
    list.append(next);
  }
}

const row = (network) => [
  h("a", { href: `#/networks/${encodeURIComponent(network.name)}` }, network.name),
  number(network.parameter_count), bytes(network.parameter_bytes), network.device, number(network.revision),
  time(network.updated_at),
  Object.entries(network.labels).map(([key, value]) => h("span", { class: "chip" }, `${key}: ${value}`)),
];

const nothing = () => h("div", { class: "nothing" },
  h("p", {}, "No network is here yet. One line in a terminal makes the first:"),
  h("pre", {}, h("code", {}, `curl ${location.origin}/v1/networks -H 'Content-Type: application/json' \\\n` +
    `  -d '{"name": "first", "architecture": ["Linear(4, 8)", "ReLU()", "Linear(8, 2)"]}'`)),
  h("p", {}, h("a", { href: "/docs" }, "The reference"), " has more of them to try."));
