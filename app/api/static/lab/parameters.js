// Parameters and buffers, each with its histogram.

import { at, get, query, showPicture } from "./api.js";
import { facts, h, number, say, shape, table } from "./dom.js";

const PAGE = 100;

export async function showParameters(place, signal, network) {
  const drawing = h("div", { class: "beside" });
  const list = h("div");
  place.append(h("div", { class: "split" }, list, drawing));
  await more(list, drawing, signal, network, null);
}

async function more(list, drawing, signal, network, token) {
  const address = query(at(network.name, "parameters"), { page_size: PAGE, page_token: token });
  const page = await get(address, signal);
  if (!page.items.length && token === null) return list.append(h("p", {}, "It has none."));
  const rows = page.items.map((parameter) => row(parameter, () => open(list, drawing, signal, network, parameter)));
  list.append(table("Parameters and buffers", ["Name", "Shape", "Dtype", "Kind"], rows));
  if (page.next_page_token) {
    const next = h("button", { type: "button", onclick: async () => {
      next.remove();
      await more(list, drawing, signal, network, page.next_page_token);
    } }, "More parameters");
    list.append(next);
  }
  if (token === null) await open(list, drawing, signal, network, page.items[0]);
}

function row(parameter, open) {
  const ties = parameter.tied_to.length > 0 && h("span", { class: "chip" }, `also ${parameter.tied_to.join(", ")}`);
  const frozen = parameter.kind === "parameter" && !parameter.requires_grad && h("span", { class: "chip" }, "frozen");
  return [
    h("button", { type: "button", class: "name", "data-name": parameter.name, "aria-pressed": "false", onclick: open },
      parameter.name),
    shape(parameter.shape), parameter.dtype, [parameter.kind, " ", frozen, ties],
  ];
}

// Shows the histogram of one parameter beside the list.
async function open(list, drawing, signal, network, parameter) {
  for (const button of list.querySelectorAll("button.name")) {
    button.setAttribute("aria-pressed", String(button.dataset.name === parameter.name));
  }
  const address = at(network.name, "parameters", parameter.name, "histogram");
  const image = h("img", { class: "drawing", alt: `Histogram of ${parameter.name}` });
  const [counted] = await Promise.all([get(address, signal), showPicture(image, address, signal)]);
  drawing.replaceChildren(h("figure", {},
    h("div", { class: "sheet" }, image),
    h("figcaption", {}, facts([
      ["Mean", number(counted.mean)], ["Std", number(counted.std)],
      ["Min", number(counted.min)], ["Max", number(counted.max)],
      ["Zeros", percent(counted.zeros)], ["Not finite", percent(counted.non_finite)],
    ]))));
  say(`Histogram of ${parameter.name}: mean ${number(counted.mean)}, standard deviation ${number(counted.std)}.`);
}

const percent = (share) => `${number(share * 100)} %`;
