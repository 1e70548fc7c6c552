// Jobs, the newest first, those that wait or run followed live.

import { get, post, query } from "./api.js";
import { h, number, pause, say, time } from "./dom.js";
import { follow } from "./events.js";

const PAGE = 20;
const FOLLOWED = 3; // at once: a browser opens only some connections to a service
const AGAIN_MS = 3000;
const ENDED = ["succeeded", "failed", "cancelled"];

export async function showJobs(place, signal) {
  await showJobsOf(place, signal, {});
}

// A list that new jobs come into. `told` is called whenever one of them has told something.
export async function showJobsOf(place, signal, filter, told = () => {}) {
  const list = h("ol", { class: "jobs" });
  const empty = h("p", {}, "No job yet. Training makes one, and so does ", h("code", {}, "Prefer: respond-async"), ".");
  place.append(empty, list);
  const cards = new Map();
  const look = async () => {
    const page = await get(query("/v1/jobs", { page_size: PAGE, ...filter }), signal);
    empty.hidden = page.items.length > 0;
    for (const job of page.items) {
      if (!cards.has(job.id)) cards.set(job.id, new Card(job, signal, told));
      cards.get(job.id).show(job);
    }
    list.replaceChildren(...page.items.map((job) => cards.get(job.id).element));
    followSome([...cards.values()]);
  };
  await look();
  keep(look, signal);
}

// Looks again and again until the view is left; a service that is away for a while is forgiven.
export async function keep(look, signal) {
  while (!signal.aborted) {
    await pause(AGAIN_MS, signal).catch(() => {});
    if (!signal.aborted && !document.hidden) await look().catch(() => {});
  }
}

function followSome(cards) {
  const live = cards.filter((card) => !ENDED.includes(card.job.state));
  const free = FOLLOWED - live.filter((card) => card.followed).length;
  live.filter((card) => !card.followed).slice(0, Math.max(free, 0)).forEach((card) => card.follow());
}

class Card {
  constructor(job, signal, told) {
    this.signal = signal;
    this.told = told;
    this.followed = false;
    this.state = h("span", { class: "state" });
    this.bar = h("progress", { max: 1, "aria-label": `Progress of job ${job.id}` });
    this.words = h("span", { class: "words" });
    this.trouble = h("p", { class: "trouble", hidden: true });
    this.cancel = h("button", { type: "button", onclick: () => this.stop() }, "Cancel");
    this.element = h("li", { class: "job", "data-job": job.id },
      h("div", { class: "head" }, h("b", {}, `${job.kind} `, h("small", {}, `#${job.id}`)), this.state,
        job.network && h("a", { href: `#/networks/${encodeURIComponent(job.network)}/training` }, job.network),
        time(job.created_at), this.cancel),
      this.bar, this.words, this.trouble);
  }

  show(job) {
    if (this.job && ENDED.includes(this.job.state)) return;
    if (this.job && this.job.state !== job.state) say(`Job ${job.id} ${job.state}.`);
    this.job = job;
    const ended = ENDED.includes(job.state);
    const { fraction = null, ...words } = job.progress ?? {};
    this.state.textContent = job.state;
    this.state.dataset.state = job.state;
    this.cancel.hidden = ended;
    this.bar.hidden = ended && job.state !== "succeeded";
    if (job.state === "succeeded") this.bar.value = 1;
    else if (fraction !== null) this.bar.value = fraction;
    else if (job.state === "queued") this.bar.value = 0;
    this.words.replaceChildren(...Object.entries(words).filter(([key, value]) => value !== null && key !== "at")
      .map(([key, value]) => h("span", {}, `${key.replaceAll("_", " ")} `, h("b", {}, typeof value === "object" ? JSON.stringify(value) : number(value)))));
    this.trouble.hidden = !job.error;
    this.trouble.textContent = job.error?.detail ?? "";
    this.told(job);
  }

  // Follows the job to its end; then reads it once more, with its error.
  async follow() {
    this.followed = true;
    try {
      for await (const { type, data } of follow(this.job.links.events, this.signal)) {
        const { at, ...told } = data;
        if (type === "progress") this.show({ ...this.job, progress: told });
        else if (!ENDED.includes(told.state)) this.show({ ...this.job, ...told });
      }
      this.show(await get(this.job.links.self, this.signal));
    } catch {
      // the view was left, or the job is gone: the list tells
    }
    this.followed = false;
  }

  async stop() {
    try {
      this.show(await post(`${this.job.links.self}/cancel`, this.signal));
    } catch (error) {
      say(error.message);
    }
  }
}
