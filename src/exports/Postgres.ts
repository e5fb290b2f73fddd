/** The module `Postgres` of `artifact-gc`. */

export type {
  Applied,
  CatalogPreset,
  LayerOptions,
  Login,
  MigrateOptions,
  PostgresOptions,
  SchemaExtension,
  SocketOptions,
  TriggerChange
} from "../database/Postgres.ts"
export {
  guardUnannouncedWriters,
  layer,
  layerClient,
  migrate,
  unguardUnannouncedWriters,
  unwatchReferences,
  watchReferences
} from "../database/Postgres.ts"
