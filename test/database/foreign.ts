/**
 * What holds when writers that know nothing of the protocol share the catalogue, on a PostgreSQL with several
 * connections: docs/design/unannounced-writers.md. Each promise has a control that shows the loss without it.
 */
import { describe } from "@effect/vitest"
import type { Server } from "../fixtures/Databases.ts"
import { installing } from "./foreign/Installing.ts"
import { losses } from "./foreign/Losses.ts"
import { stress } from "./foreign/Stress.ts"
import { traps } from "./foreign/Traps.ts"
import { types } from "./foreign/Types.ts"

export const foreignContract = (server: Server): void => {
  describe(`On ${server.name}`, () => {
    losses(server)
    traps(server)
    installing(server)
    types(server)
    stress(server)
  })
}
