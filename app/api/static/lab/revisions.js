// What changed a network, and what differs between two of its revisions.

import { at, get, query } from "./api.js";
import { h, number, say, shape, table, time } from "./dom.js";

const PAGE = 50;

export async function showRevisions(place, signal, network) {
  const from = h("input", { id: "from", type: "number", min: 1, value: Math.max(1, network.revision - 1), required: true });
  const to = h("input", { id: "to", type: "number", min: 1, value: network.revision, required: true });
  const difference = h("div", { role: "status" });
  const list = h("div");
  const compare = () => showDifference(difference, signal, network.name, from.value, to.value);
  place.append(
    h("form", { class: "tools", onsubmit: (event) => { event.preventDefault(); compare(); } },
      h("label", { for: "from" }, "From revision"), from, h("label", { for: "to" }, "to"), to,
      h("button", {}, "Compare")),
    difference, list);
  await more(list, signal, network, null, (revision) => {
    [from.value, to.value] = [revision - 1, revision];
    compare();
    difference.scrollIntoView({ block: "nearest" });
  });
}

async function more(list, signal, network, token, compare) {
  const page = await get(query(at(network.name, "revisions"), { page_size: PAGE, page_token: token }), signal);
  const kept = new Set(page.items.map((revision) => revision.revision));
  list.append(table("Revisions", ["Revision", "Difference", "What", "Checkpoints", "When", "By"],
    page.items.map((revision) => [
      number(revision.revision),
      kept.has(revision.revision - 1) && h("button", { type: "button", onclick: () => compare(revision.revision),
        "aria-label": `Compare revision ${revision.revision} with the one before` }, "Compare"),
      [h("b", {}, revision.operation), h("code", { class: "detail" }, words(revision.detail))],
      revision.checkpoints.map((tag) => h("span", { class: "chip" }, tag)),
      time(revision.created_at), revision.author ?? "–",
    ])));
  if (page.next_page_token) {
    const next = h("button", { type: "button", onclick: async () => {
      next.remove();
      await more(list, signal, network, page.next_page_token, compare);
    } }, "Earlier revisions");
    list.append(next);
  }
}

function words(detail) {
  const text = Object.keys(detail).length ? JSON.stringify(detail) : "";
  return text.length > 160 ? `${text.slice(0, 160)}…` : text;
}

async function showDifference(place, signal, name, from, to) {
  try {
    const found = await get(at(name, "revisions", from, "diff", to), signal);
    const head = h("h2", {}, `From ${from} to ${to}: ${found.changed.length} changed, ${found.unchanged} the same`);
    place.replaceChildren(head, ...(found.changed.length ? [changes(found.changed)] : []));
    say(head.textContent);
  } catch (error) {
    if (!signal.aborted) place.replaceChildren(h("p", { class: "trouble", role: "alert" }, error.message));
  }
}

const changes = (changed) => table("Differences", ["Name", "Shape", "Elements changed", "Largest", "Distance"],
  changed.map((one) => [
    one.name, shape(one.shape),
    `${number(one.elements_changed)} of ${number(one.shape.reduce((product, size) => product * size, 1))}`,
    number(one.max_difference), number(one.distance),
  ]));
