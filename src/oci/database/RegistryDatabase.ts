/** The registry's database: its service and the types of its verbs. Layers: Memory.ts and Postgres.ts. */
export type * from "./contract/Judgements.ts"
export type * from "./contract/Manifests.ts"
export { RegistryDatabase } from "./contract/Registry.ts"
export type * from "./contract/Retention.ts"
export type * from "./contract/Sizes.ts"
export type * from "./contract/UploadSessions.ts"
