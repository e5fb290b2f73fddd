/** Every metric of the program, in the order of the documentation. */
import * as Writers from "../blobs/Metrics.ts"
import type { Declaration } from "../domain/DeclaredMetric.ts"
import * as Registry from "../oci/Metrics.ts"
import * as Sweeps from "../sweep/Metrics.ts"
import * as Process from "./Metrics.ts"

const isDeclaration = (exported: unknown): exported is Declaration =>
  typeof exported === "object" && exported !== null && "look" in exported && "series" in exported

const of = (module: Readonly<Record<string, unknown>>): ReadonlyArray<Declaration> =>
  Object.values(module)
    .filter(isDeclaration)
    .sort((a, b) => (a.name < b.name ? -1 : 1))

/** The metrics by the part of the program that updates them. */
export const declared: Readonly<Record<string, ReadonlyArray<Declaration>>> = {
  Sweeps: of(Sweeps),
  Writers: of(Writers),
  Registry: of(Registry),
  Process: of(Process)
}
