/**
 * What every backend of the collector's and the writers' database promises, as one suite: every sentence of their
 * documentation that one process can observe. Promises that need several connections are in Locks.contract.ts.
 *
 * Each test gets a catalogue of its own from `layer`, and compares answers and rows.
 */

import { describe, it } from "@effect/vitest"
import { Effect, type Layer } from "effect"
import type * as AllDatabases from "../fixtures/Database.ts"
import { Database } from "../fixtures/Database.ts"
import type { Promised } from "../fixtures/samples.ts"
import type { Tables } from "../fixtures/Tables.ts"
import { audit } from "./contract/Audit.ts"
import { backlog } from "./contract/Backlog.ts"
import { binding } from "./contract/Binding.ts"
import { writing } from "./contract/Blobs.ts"
import { guarding } from "./contract/Breakers.ts"
import { candidates } from "./contract/Candidates.ts"
import { controlling } from "./contract/Control.ts"
import { remembering } from "./contract/History.ts"
import { journal } from "./contract/Journal.ts"
import { leftovers } from "./contract/Leftovers.ts"
import { pins } from "./contract/Pins.ts"
import { purging } from "./contract/Purge.ts"
import { referenceSources } from "./contract/ReferenceSources.ts"
import { references } from "./contract/References.ts"
import { sightings } from "./contract/Sightings.ts"
import { slices } from "./contract/Slices.ts"
import { doubting } from "./contract/Suspects.ts"
import { undoing } from "./contract/Undo.ts"

/** Registers promises of a contract. `layer` makes a new, empty catalogue each time it is built. */
export const promisedOn =
  <E>(layer: Layer.Layer<Database | AllDatabases.Databases | Tables, E>): Promised =>
  (sentence, steps) => {
    it.effect(
      sentence,
      () =>
        Effect.flatMap(Database, (database) => database.inspect).pipe(
          Effect.andThen(Effect.suspend(steps)),
          Effect.provide(layer)
        ),
      20_000
    )
  }

/** Registers all promises. */
export const databaseContract = <E>(
  name: string,
  layer: Layer.Layer<Database | AllDatabases.Databases | Tables, E>
): void => {
  const promised = promisedOn(layer)
  describe(`Database on ${name}`, () => {
    slices(promised)
    sightings(promised)
    purging(promised)
    journal(promised)
    writing(promised)
    pins(promised)
    candidates(promised)
    leftovers(promised)
    backlog(promised)
    doubting(promised)
    guarding(promised)
    controlling(promised)
    remembering(promised)
    references(promised)
    referenceSources(promised)
    binding(promised)
    undoing(promised)
    audit(promised)
  })
}
