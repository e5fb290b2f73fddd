/**
 * Asks all checks, group by group. A server that cannot be reached is a finding, and what does not need it is asked.
 * Nothing is written, in the database by the server's own guarantee (a read-only transaction), and in the store unless `write`.
 */
import { Context, Effect, Layer, Result } from "effect"
import type { Configuration } from "../config/Config.ts"
import type { CollectorDatabase, DatabaseHealth } from "../database/Database.ts"
import type { Storage } from "../storage/Storage.ts"
import { catalogueGroups } from "./CatalogueChecks.ts"
import { askGroup, type Check, failureOf, type Group, unasked } from "./Check.ts"
import { databaseGroup } from "./DatabaseChecks.ts"
import { type Finding, worstFirst } from "./Finding.ts"
import { localGroup } from "./LocalChecks.ts"
import { storeGroup } from "./StoreChecks.ts"

/** What is examined. A layer that cannot be built is a finding. */
export interface Patient<E> {
  /** The database. */
  readonly database: Layer.Layer<CollectorDatabase | DatabaseHealth, E>
  /** The store. */
  readonly store: Layer.Layer<Storage, E>
}

/** The groups of checks, in their order. */
const groupsOf = (configuration: Configuration, write: boolean) => {
  const [catalogue, both] = catalogueGroups(configuration.sweep)
  return {
    local: localGroup(configuration),
    database: databaseGroup(configuration),
    catalogue,
    store: storeGroup(configuration, write),
    both
  }
}

/** Returns every check, for the documentation. */
export const checksOf = (
  configuration: Configuration
): ReadonlyArray<Pick<Check, "name" | "about" | "docs">> =>
  Object.values(groupsOf(configuration, false)).flatMap(
    ({ checks, gate }: Group<Storage | CollectorDatabase | DatabaseHealth>) =>
      (gate === null ? checks : [gate, ...checks]).map(({ about, docs, name }) => ({ name, about, docs }))
  )

/** Asks all checks and returns what they found, the worst first. Never fails. */
export const examine = <E>(
  configuration: Configuration,
  { database, store }: Patient<E>,
  write: boolean
): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.scoped(
    Effect.gen(function* () {
      const groups = groupsOf(configuration, write)
      const found: Array<Finding> = [...(yield* askGroup(groups.local))]
      const databaseServices = yield* built("connection", "docs/operations.md", database)
      const storeServices = yield* built("store", "docs/operations.md#stores", store)
      const sound = (findings: ReadonlyArray<Finding>, gate: string): boolean =>
        !findings.some(({ check, severity }) => check === gate && severity === "problem")
      const add = (findings: ReadonlyArray<Finding>): void => {
        found.push(...findings)
      }

      add(
        Result.isFailure(databaseServices)
          ? [databaseServices.failure]
          : yield* Effect.provide(askGroup(groups.database), databaseServices.success)
      )
      add(
        Result.isFailure(storeServices)
          ? [storeServices.failure]
          : yield* Effect.provide(askGroup(groups.store), storeServices.success)
      )
      if (Result.isFailure(databaseServices) || !sound(found, "connection")) {
        add([unasked("catalogue", "database", [groups.catalogue, groups.both])])
        return worstFirst(found)
      }
      add(yield* Effect.provide(askGroup(groups.catalogue), databaseServices.success))
      if (!sound(found, "schema")) add([unasked(groups.both.name, "catalogue", [groups.both])])
      else if (Result.isFailure(storeServices) || !sound(found, "store"))
        add([unasked(groups.both.name, "store", [groups.both])])
      else {
        const services = Context.merge(databaseServices.success, storeServices.success)
        add(yield* Effect.provide(askGroup(groups.both), services))
      }
      return worstFirst(found)
    })
  )

const built = <A, E>(check: string, docs: string, layer: Layer.Layer<A, E>) =>
  Effect.result(
    Effect.mapError(Layer.build(layer), (error): Finding => ({ fix: null, docs, ...failureOf(error), check }))
  )
