// Devices: how full, how busy, and what is on them.

import { get } from "./api.js";
import { bytes, facts, h, number } from "./dom.js";
import { keep } from "./jobs.js";

export async function showDevices(place, signal) {
  const list = h("div", { class: "cards" });
  place.append(list);
  const look = async () => {
    const devices = await get("/v1/devices", signal);
    list.replaceChildren(...devices.items.map((device) => card(device, device.name === devices.default)));
  };
  await look();
  keep(look, signal);
}

function card(device, isDefault) {
  const { memory } = device;
  return h("article", { class: "card", "aria-label": device.name },
    h("h2", {}, device.name, " ", isDefault && h("span", { class: "chip" }, "default"),
      " ", h("span", { class: "state", "data-state": device.state }, device.state)),
    device.model && h("p", { class: "soft" }, device.model),
    meter("Memory", memory.used_bytes, memory.total_bytes, bytes),
    meter("Resident", memory.resident_bytes, memory.budget_bytes, bytes),
    meter("Busy", device.utilization, 1, (share) => share === null ? "–" : `${Math.round(share * 100)} %`),
    facts([
      ["Queue", number(device.queue)],
      ["Temperature", device.temperature_celsius === null ? null : `${device.temperature_celsius} °C`],
      ["Power", device.power_watts === null ? null : `${number(device.power_watts)} W`],
    ]),
    resident("Networks", device.networks, (one) => h("a", { href: `#/networks/${encodeURIComponent(one.name)}` }, one.name)),
    resident("Tensors", device.tensors, (one) => one.name));
}

function meter(name, used, total, words) {
  if (used === null || used === undefined) return null;
  const told = total === null || name === "Busy" ? words(used) : `${words(used)} of ${words(total)}`;
  return h("div", { class: "meter" }, h("span", {}, name), h("span", {}, told),
    total !== null && h("meter", { value: used, max: total, "aria-label": `${name}: ${told}` }));
}

const resident = (title, items, name) => items.length > 0 && h("div", {},
  h("h3", {}, title),
  h("ul", {}, items.map((one) => h("li", {}, name(one), " ", h("small", {}, bytes(one.bytes))))));
