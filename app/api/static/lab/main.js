// The way from an address to a view: `#/networks/mlp/parameters`. A view fills the page and works until it is left.

import { Problem } from "./api.js";
import { h, say } from "./dom.js";
import { showDevices } from "./devices.js";
import { showJobs } from "./jobs.js";
import { forget, showForget } from "./key.js";
import { showNetwork } from "./network.js";
import { showNetworks } from "./networks.js";

const main = document.getElementById("main");
let leave = new AbortController();

function view([room, name, part]) {
  if (room === "jobs") return ["Jobs", showJobs];
  if (room === "devices") return ["Devices", showDevices];
  if (name) return [name, (place, signal) => showNetwork(place, signal, name, part)];
  return ["Networks", showNetworks];
}

async function show() {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const words = location.hash.replace(/^#\/?/, "").split("/").map(decode);
  const [title, fill] = view(words);
  document.title = `${title} · Model Lab`;
  for (const link of document.querySelectorAll("#rooms a")) {
    if (link.hash === `#/${words[0] || "networks"}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const place = h("div", { class: "view" }, h("h1", { tabindex: -1 }, title));
  main.replaceChildren(place);
  main.setAttribute("aria-busy", "true");
  try {
    await fill(place, signal);
  } catch (error) {
    if (!signal.aborted) place.append(trouble(error));
  }
  if (!signal.aborted) main.removeAttribute("aria-busy");
}

function decode(word) {
  try {
    return decodeURIComponent(word);
  } catch {
    return word;
  }
}

function trouble(error) {
  const detail = error instanceof Problem ? error.message : "The service does not answer.";
  return h("p", { class: "trouble", role: "alert" }, detail, " ",
    h("button", { type: "button", onclick: show }, "Try again"));
}

window.addEventListener("hashchange", async () => {
  const shown = show();
  main.querySelector("h1").focus({ preventScroll: true });
  window.scrollTo(0, 0);
  say(main.querySelector("h1").textContent);
  await shown;
});
// What a button began and could not end; what a view that was left began is of no interest.
window.addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name !== "AbortError") main.firstElementChild.append(trouble(event.reason));
  if (event.reason?.name === "AbortError" || event.reason instanceof Problem) event.preventDefault();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash says which view it is
  main.focus();
});
document.getElementById("forget").addEventListener("click", forget);
showForget();
show();
