// The drawing of a network, with shapes on its edges, and the tree that `print(net)` gives.

import { at, get, Problem, query, request, showPicture } from "./api.js";
import { h, say } from "./dom.js";

export async function showDiagram(place, signal, network) {
  const parameters = await get(query(at(network.name, "parameters"), { page_size: 1 }), signal);
  const modules = await get(at(network.name, "modules"), signal);
  const guessed = guess(network, modules, parameters.items[0]);
  const shapes = h("input", { id: "shapes", value: guessed, spellcheck: "false",
    autocomplete: "off", "aria-describedby": "shapes-why" });
  const depth = h("select", { id: "depth" }, h("option", { value: "" }, "All"),
    [1, 2, 3, 4].map((levels) => h("option", { value: levels }, String(levels))));
  const image = h("img", { class: "drawing", alt: `Diagram of ${network.name}; the printed tree below says the same.` });
  const note = h("p", { class: "note", role: "status" });
  const save = h("a", { class: "button", download: `${network.name}.svg` }, "Save as SVG");
  const draw = async () => {
    const typed = shapes.value.trim();
    const wrong = await drawDiagram(image, signal, network.name, typed, depth.value);
    const why = typed === guessed ? "a guess does not fit. Type the shapes of your inputs." : wrong?.message;
    note.textContent = wrong ? `Drawn without shapes: ${why}` : "";
    save.href = image.src;
    say(`Diagram of ${network.name} drawn.`);
  };
  const large = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
    large.setAttribute("aria-pressed", String(image.classList.toggle("actual")));
  } }, "Actual size");
  place.append(
    h("form", { class: "tools", onsubmit: (event) => { event.preventDefault(); draw(); } },
      h("label", { for: "shapes" }, "Shapes of inputs"), shapes,
      h("label", { for: "depth" }, "Depth"), depth,
      h("button", {}, "Draw"), large, save,
      h("small", { id: "shapes-why" }, "A list for the only input, or names: ", h("code", {}, '{"X": [2, 20]}'))),
    note,
    h("div", { class: "sheet", tabindex: 0, role: "region", "aria-label": "Diagram" }, image),
    h("details", {}, h("summary", {}, "Printed, as in PyTorch"), await printed(network, signal)));
  depth.addEventListener("change", draw);
  await draw();
}

async function printed(network, signal) {
  const reply = await request(at(network.name, "modules"), { signal, accept: "text/plain" });
  return h("pre", { tabindex: 0 }, h("code", {}, await reply.text()));
}

// Draws with the shapes, or without them where they do not fit; returns the problem then.
async function drawDiagram(image, signal, name, shapes, depth) {
  const address = (given) => query(at(name, "diagram"), { depth, input_shapes: given });
  try {
    await showPicture(image, address(shapes), signal);
    return null;
  } catch (error) {
    if (!(error instanceof Problem) || !shapes) throw error;
    await showPicture(image, address(""), signal);
    return error;
  }
}

// Shapes of a first try, from the first module that has a parameter: two rows of what it takes.
function guess(network, modules, first) {
  if (network.inputs.length !== 1 || !first) return "";
  const owner = find(modules, first.name.split(".").slice(0, -1).join("."));
  const [, size] = first.shape;
  if (owner?.type.startsWith("Embedding")) {
    return JSON.stringify({ [network.inputs[0]]: { shape: [2, 8], dtype: "int64" } });
  }
  const conv = /^Conv(\d)d$/.exec(owner?.type ?? "");
  const groups = Number(/groups=(\d+)/.exec(owner?.repr ?? "")?.[1] ?? 1);
  if (conv) return JSON.stringify([2, size * groups, ...Array(Number(conv[1])).fill(size * groups === 1 ? 28 : 32)]);
  if (/^(LSTM|GRU|RNN)$/.test(owner?.type ?? "")) return JSON.stringify([8, 2, size]);
  return size === undefined ? "" : JSON.stringify([2, size]);
}

function find(module, path) {
  if (module.path === path) return module;
  return module.children.reduce((found, child) => found ?? find(child, path), undefined);
}
