/** The module `Embedded` of `artifact-gc/embedded`. */

export type { EmbeddedOptions, EmbeddedPostgres } from "../embedded-postgres/Embedded.ts"
export { EmbeddedPostgresError, EmbeddedPostgresFailure, start } from "../embedded-postgres/Embedded.ts"
