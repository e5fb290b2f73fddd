/**
 * What holds when unannounced writers share the catalogue (docs/design/unannounced-writers.md), on a
 * PostgreSQL with several connections. Each promise has a control that shows the loss without it.
 */
import { describe } from "@effect/vitest"
import type { Server } from "../fixtures/Databases.ts"
import { circles } from "./unannounced/Circles.ts"
import { endings } from "./unannounced/Endings.ts"
import { installing } from "./unannounced/Installing.ts"
import { losses } from "./unannounced/Losses.ts"
import { stress } from "./unannounced/Stress.ts"
import { traps } from "./unannounced/Traps.ts"
import { types } from "./unannounced/Types.ts"

export const unannouncedWritersContract = (server: Server): void => {
  describe(`On ${server.name}`, () => {
    losses(server)
    traps(server)
    circles(server)
    endings(server)
    installing(server)
    types(server)
    stress(server)
  })
}
