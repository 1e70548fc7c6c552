// The training of a network: its curve, which grows while it runs, and its jobs.

import { at, Problem, showPicture } from "./api.js";
import { h } from "./dom.js";
import { showJobsOf } from "./jobs.js";

const REDRAW_MS = 2000;

export async function showTraining(place, signal, network) {
  const image = h("img", { class: "drawing", alt: `Loss of ${network.name} over the steps of its newest training` });
  const sheet = h("div", { class: "sheet", hidden: true }, image);
  place.append(sheet);
  let drawn = 0;
  const draw = async () => {
    if (Date.now() - drawn < REDRAW_MS) return;
    drawn = Date.now();
    try {
      await showPicture(image, at(network.name, "curve"), signal);
      sheet.hidden = false;
    } catch (error) {
      if (!signal.aborted && !(error instanceof Problem && error.status === 404)) throw error;
    }
  };
  await showJobsOf(place, signal, { network: network.name }, (job) => {
    if (job.kind !== "train") return;
    if (job.state === "succeeded") drawn = 0; // its last points
    draw().catch(() => {});
  });
}
