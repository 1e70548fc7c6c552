// Starts the reference. Its own file, because the page's content security policy allows no inline script.
"use strict";

const COMPONENT = "#/components/schemas/";

// A copy of `value` with each component that it refers to in its place; inside itself a component stays a reference.
function inline(value, schemas, within = []) {
  if (Array.isArray(value)) return value.map((item) => inline(item, schemas, within));
  if (value === null || typeof value !== "object") return value;
  const reference = value.$ref;
  if (typeof reference === "string" && reference.startsWith(COMPONENT)) {
    const name = reference.slice(COMPONENT.length);
    if (within.includes(name) || !(name in schemas)) return value;
    const { $ref, ...beside } = value;
    return { ...inline(schemas[name], schemas, [...within, name]), ...beside };
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, inline(item, schemas, within)]));
}

// Swagger UI's own way reads the whole document anew for every operation that is opened, which takes a second or two.
// This document refers to its own components alone, so a walk is enough.
const quickly = () => ({
  fn: {
    resolveSubtree: async (document, path) => ({
      spec: inline(path.reduce((part, key) => part?.[key], document), document.components.schemas),
      errors: [],
    }),
  },
});

window.addEventListener("DOMContentLoaded", () => {
  window.ui = SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#reference",
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayOperationId: false,
    displayRequestDuration: true,
    filter: false,
    tryItOutEnabled: false,
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis],
    plugins: [quickly],
  });
});
