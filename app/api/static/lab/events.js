// Server-sent events by fetch, which can carry a key where an EventSource cannot. Goes on behind the last event.

import { Problem, request } from "./api.js";
import { pause } from "./dom.js";

const AGAIN_MS = 1000;

// Events of an address as {id, type, data}, until the service says that there will be no more.
export async function* follow(path, signal) {
  let last = null;
  for (;;) {
    try {
      const headers = last === null ? {} : { "Last-Event-ID": last };
      const reply = await request(path, { signal, headers, accept: "text/event-stream" });
      if (reply.status === 204) return;
      for await (const event of events(reply.body)) {
        last = event.id ?? last;
        yield event;
      }
    } catch (error) {
      if (signal.aborted || error instanceof Problem) throw error;
    }
    await pause(AGAIN_MS, signal);
  }
}

async function* events(stream) {
  let event = {};
  for await (const line of lines(stream)) {
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (line === "") {
      if (event.data !== undefined) yield { ...event, data: JSON.parse(event.data) };
      event = {};
    } else if (field === "id") event.id = value;
    else if (field === "event") event.type = value;
    else if (field === "data") event.data = event.data === undefined ? value : `${event.data}\n${value}`;
  }
}

async function* lines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const found = (rest + value).split("\n");
      rest = found.pop();
      for (const line of found) yield line.replace(/\r$/, "");
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
