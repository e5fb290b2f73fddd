/**
 * What every backend of the registry's database promises, as one suite: every sentence of its documentation that one
 * process can observe.
 *
 * Each test gets a catalogue of its own from `layer`, and compares answers and rows.
 */
import { describe } from "@effect/vitest"
import type { Layer } from "effect"
import { promisedOn } from "../../database/Database.contract.ts"
import type * as AllDatabases from "../../fixtures/Database.ts"
import type { Tables } from "../../fixtures/Tables.ts"
import { finishing } from "./contract/Finishing.ts"
import { idling } from "./contract/Idle.ts"
import { judging } from "./contract/Judgements.ts"
import { keys } from "./contract/Keys.ts"
import { registry } from "./contract/Listings.ts"
import { registering } from "./contract/Manifests.ts"
import { retaining } from "./contract/Retention.ts"
import { uploading } from "./contract/Sessions.ts"
import { sizes } from "./contract/Sizes.ts"

/** `layer` makes a new, empty catalogue each time it is built. */
export const registryDatabaseContract = <E>(
  name: string,
  layer: Layer.Layer<AllDatabases.Database | AllDatabases.Databases | Tables, E>
): void => {
  const promised = promisedOn(layer)
  describe(`RegistryDatabase on ${name}`, () => {
    registering(promised)
    registry(promised)
    uploading(promised)
    finishing(promised)
    idling(promised)
    keys(promised)
    retaining(promised)
    judging(promised)
    sizes(promised)
  })
}
