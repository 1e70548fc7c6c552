// Requests to the service: with the key, and with its problems as errors.

import { ask, key } from "./key.js";

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? `The service answered ${status}.`);
    this.status = status;
    this.code = body.code;
  }
}

// The reply of the service; asks for a key where one is needed.
export async function request(path, { accept = "application/json", headers = {}, ...options } = {}) {
  for (;;) {
    const sent = key();
    const authorization = sent === null ? {} : { Authorization: `Bearer ${sent}` };
    const reply = await fetch(path, {
      ...options, cache: "no-store", headers: { Accept: accept, ...authorization, ...headers },
    });
    if (reply.status === 401) await ask(sent);
    else if (reply.ok) return reply;
    else throw new Problem(reply.status, await reply.json().catch(() => ({})));
  }
}

export const get = async (path, signal) => (await request(path, { signal })).json();

export const post = async (path, signal) => (await request(path, { signal, method: "POST" })).json();

// The address of something of a network: `at("mlp", "parameters", "0.weight")`.
export const at = (...parts) => `/v1/networks/${parts.map(encodeURIComponent).join("/")}`;

export function query(path, values) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

// Puts a picture of the service into an <img>, where no script of a picture runs. It is let go with the view.
export async function showPicture(image, path, signal) {
  const drawn = await (await request(path, { signal, accept: "image/svg+xml" })).blob();
  signal.throwIfAborted();
  const before = image.src;
  image.src = URL.createObjectURL(drawn);
  if (before) URL.revokeObjectURL(before);
  else signal.addEventListener("abort", () => URL.revokeObjectURL(image.src), { once: true });
  await image.decode();
}
