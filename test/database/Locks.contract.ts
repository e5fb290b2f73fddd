/**
 * What `Database` promises when several act at once, on a PostgreSQL with several connections. Each promise has a
 * control: the same steps without the protection, and what they lose.
 */
import { describe } from "@effect/vitest"
import type { Server } from "../fixtures/Databases.ts"
import { candidates } from "./locks/Candidates.ts"
import { changes } from "./locks/Changes.ts"
import { collectors } from "./locks/Collectors.ts"
import { crowd } from "./locks/Crowd.ts"
import { estimates } from "./locks/Estimates.ts"
import { hostTransactions } from "./locks/HostTransactions.ts"
import { leftovers } from "./locks/Leftovers.ts"
import { manifestPlans } from "./locks/ManifestPlans.ts"
import { manifests } from "./locks/Manifests.ts"
import { pins } from "./locks/Pins.ts"
import { references } from "./locks/References.ts"
import { retention } from "./locks/Retention.ts"
import { scanPlans } from "./locks/ScanPlans.ts"
import { sessionKeys } from "./locks/SessionKeys.ts"
import { sessionPlans } from "./locks/SessionPlans.ts"
import { sessionRequests } from "./locks/Sessions.ts"
import { writers } from "./locks/Writers.ts"

export const lockContract = (server: Server): void => {
  describe(`On ${server.name}`, () => {
    references(server)
    writers(server)
    pins(server)
    hostTransactions(server)
    manifests(server)
    crowd(server)
    retention(server)
    manifestPlans(server)
    collectors(server)
    leftovers(server)
    estimates(server)
    sessionRequests(server)
    sessionKeys(server)
    sessionPlans(server)
    scanPlans(server)
    candidates(server)
  })
}

export const changeContract = (server: Server): void => {
  describe(`On ${server.name}`, () => changes(server))
}
