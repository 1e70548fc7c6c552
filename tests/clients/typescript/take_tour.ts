// Takes a tour with types that openapi-typescript made: `node built/take_tour.js ADDRESS`.
// Knows nothing of the service but what the generated file says.

import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const baseUrl = process.argv[2];
assert(baseUrl, "the address of a service is wanted");
const client = createClient<paths>({ baseUrl });
const name = "typed_tour";

const block = await client.POST("/v1/blocks", {
  body: {
    name: "TypedBlock",
    definition: {
      hyperparameters: ["units"],
      children: { out: "Linear(4, units)" },
      inputs: ["X"],
      forward: ["return out(X) + 1"],
    },
  },
});
assert.equal(block.response.status, 201);
assert.equal(block.data?.name, "TypedBlock");

const network = await client.POST("/v1/networks", {
  body: { name, architecture: ["TypedBlock(3)", "ReLU()"], seed: 7 },
});
assert.equal(network.response.status, 201);
assert.equal(network.data?.parameter_count, 15);

const of = { path: { name } };
const forward = await client.POST("/v1/networks/{name}/forward", {
  params: of,
  body: { inputs: [[1, 2, 3, 4]] },
});
assert(typeof forward.data === "object" && "outputs" in forward.data); // no file, and no job
assert.deepEqual(forward.data.outputs["output"]?.shape, [1, 3]);

const listed = await client.GET("/v1/networks/{name}/parameters", { params: of });
assert.deepEqual(
  listed.data?.items.map((item) => item.name),
  ["0.out.weight", "0.out.bias"],
);

const bias = { path: { name, parameter: "0.out.bias" } };
const edited = await client.PATCH("/v1/networks/{name}/parameters/{parameter}", {
  params: bias,
  body: { edits: [{ index: ":", expression: "param * 0 + 5" }] },
});
assert.equal(edited.data?.revision, 2);
const read = await client.GET("/v1/networks/{name}/parameters/{parameter}", { params: bias });
assert(typeof read.data === "object");
assert.deepEqual(read.data.value?.data, [5, 5, 5]);

const tag = await client.PUT("/v1/networks/{name}/checkpoints/{tag}", {
  params: { path: { name, tag: "best" } },
  body: { revision: 2 },
});
assert(tag.response.ok);

const file = await client.GET("/v1/networks/{name}/state_dict", { params: of, parseAs: "arrayBuffer" });
assert(file.data && file.data.byteLength > 15 * 4);

const refused = await client.POST("/v1/networks/{name}/forward", { params: of, body: { inputs: [[1]] } });
assert.equal(refused.response.status, 422);
assert.equal(refused.error?.code, "shape-mismatch");

console.log("the tour is over");
