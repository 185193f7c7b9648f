// Each marked line is an error, or the compiler fails: the generated types are as narrow as the contract.
import type { components } from "./api.js";

type Schemas = components["schemas"];
const ids = { decision_id: "d-1", transaction_id: "t-1", entity_key: "1", occurred_at: "2026-01-31T12:00:00Z" };

export const accepted: Schemas["ScoreRequest"] = { ...ids, features: { amount: 1, kind: "shop", mean_amount_7d: null } };
// @ts-expect-error A feature is a number, a string or null.
export const feature: Schemas["ScoreRequest"] = { ...ids, features: { amount: [1] } };
// @ts-expect-error The features are missing.
export const missing: Schemas["ScoreRequest"] = { ...ids };
// @ts-expect-error No error has this kind.
export const kind: Schemas["Error"]["error"]["kind"] = "Unknown";
