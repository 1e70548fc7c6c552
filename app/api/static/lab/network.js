// One network: what it is, and the parts of it one at a time.

import { at, get } from "./api.js";
import { bytes, facts, h, number, time } from "./dom.js";
import { showDiagram } from "./diagram.js";
import { showParameters } from "./parameters.js";
import { showRevisions } from "./revisions.js";
import { showTraining } from "./training.js";

const PARTS = {
  diagram: ["Diagram", showDiagram],
  parameters: ["Parameters", showParameters],
  revisions: ["Revisions", showRevisions],
  training: ["Training", showTraining],
};

export async function showNetwork(place, signal, name, part) {
  const network = await get(at(name), signal);
  const chosen = part in PARTS ? part : "diagram";
  const below = h("section", { "aria-label": PARTS[chosen][0] });
  place.append(
    facts([
      ["Parameters", `${number(network.parameter_count)} (${bytes(network.parameter_bytes)})`],
      ["Revision", number(network.revision)],
      ["Device", network.device],
      ["Dtype", network.dtype],
      ["Seed", network.seed === null ? null : String(network.seed)],
      ["Inputs", network.inputs.join(", ")],
      ["Made", time(network.created_at)],
      ...Object.entries(network.labels),
    ]),
    h("nav", { class: "parts", "aria-label": `Parts of ${name}` }, Object.entries(PARTS).map(([key, [title]]) =>
      h("a", { href: `#/networks/${encodeURIComponent(name)}/${key}`, "aria-current": key === chosen && "page" }, title))),
    below);
  await PARTS[chosen][1](below, signal, network);
}
