import type { components } from "./api.js";

type Schemas = components["schemas"];

export async function score(server: string, key: string, model: string, request: Schemas["ScoreRequest"]) {
  const url = `${server}/v1/models/${encodeURIComponent(model)}/score`;
  const response = await fetch(url, { method: "POST", headers: { "X-Api-Key": key }, body: JSON.stringify(request) });
  if (response.ok) return (await response.json()) as Schemas["ScoreResponse"];
  const { error } = (await response.json()) as Schemas["Error"];
  throw new Error(error.message, { cause: error.kind });
}
