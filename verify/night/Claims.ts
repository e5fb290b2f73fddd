/** What page and status must tell at each moment of the night. */
import type { Status } from "../../src/status/Status.ts"
import type { Claim, PageView } from "./Views.ts"

const without = (problem: boolean, says: string): string | null => (problem ? says : null)

const describe = (status: Status | null, exitCode: number | null): string =>
  status === null
    ? `exit code ${exitCode}, no status`
    : JSON.stringify({
        exitCode,
        health: status.health,
        activity: status.activity,
        last: status.last?.outcome,
        endedAt: status.last?.endedAt,
        collectors: status.collectors.length,
        advice: status.advice.map(({ what }) => what)
      })

const pageSays = ({ heading, html, status }: PageView, wantedStatus: number, wanted: ReadonlyArray<string>) =>
  without(
    status !== wantedStatus || wanted.some((text) => !html.includes(text)),
    `${status} "${heading}" instead of ${wantedStatus} with ${wanted.join(", ")}`
  )

/** A success that is older than so long is no success of a collector that sweeps every few seconds. */
const freshMillis = 30_000

/** All is well: the last sweep succeeded a moment ago, `collectors` collect, and nothing is held back. */
export const calm = (collectors: number): Claim => ({
  page: (page) => pageSays(page, 200, ["All is well", "complete, took"]),
  status: (status, exitCode) =>
    without(
      status === null ||
        exitCode !== 0 ||
        status.health !== "ok" ||
        status.collectors.length !== collectors ||
        status.guards.length > 0 ||
        status.breakers.some(({ open }) => open) ||
        !["complete", "bounded"].includes(status.last?.outcome ?? "") ||
        Date.parse(status.at) - Date.parse(status.last?.endedAt ?? "") > freshMillis,
      describe(status, exitCode)
    )
})

/** Sweeps fail: the page and the status say so, and name the last success, which no longer moves. */
export const failing: Claim = {
  page: (page) => pageSays(page, 200, ["Something needs attention", "The last sweep failed in part"]),
  status: (status, exitCode) =>
    without(
      status === null ||
        exitCode !== 10 ||
        status.health !== "attention" ||
        status.last?.outcome !== "failed" ||
        !status.advice.some(({ what }) => what.startsWith("The last sweep failed in part")),
      describe(status, exitCode)
    )
}

/**
 * Requests to the store do not end. A sweep under way says which phase has failed, or is not heard of, and a sweep that ended
 * has failed.
 */
export const hanging: Claim = {
  page: ({ html, status, ...page }) =>
    pageSays({ ...page, status, html }, 200, [
      "Something needs attention",
      ["The last sweep failed in part", "that is under way fails in part", "was last heard of at"].find(
        (text) => html.includes(text)
      ) ?? "The last sweep failed in part"
    ]),
  status: (status, exitCode) =>
    without(status === null || exitCode !== 10 || status.health !== "attention", describe(status, exitCode))
}

/** The database does not answer. The command fails with the exit code of a database. */
export const unreadable: Claim = {
  page: (page) => pageSays(page, 503, ["The database did not answer", "nothing is deleted meanwhile"]),
  status: (status, exitCode) => without(status !== null || exitCode !== 5, describe(status, exitCode))
}

/** A guard refuses, and the advice says which. */
export const refusing = (guard: string): Claim => ({
  page: (page) =>
    pageSays(page, 200, ["Collection does not work", `The ${guard} guard refuses`, "✕ refused"]),
  status: (status, exitCode) =>
    without(
      status === null ||
        exitCode !== 11 ||
        status.last?.outcome !== "refused" ||
        !status.guards.some((found) => found.guard === guard && found.decision === "refused"),
      describe(status, exitCode)
    )
})

/** A breaker is open, and the page has the command that confirms it. */
export const open = (breaker: string): Claim => ({
  page: (page) =>
    pageSays(page, 200, [
      "Something needs attention",
      `Breaker ${breaker}`,
      "✕ open",
      `artifact-gc breaker --confirm ${breaker}`
    ]),
  status: (status, exitCode) =>
    without(
      status === null ||
        exitCode !== 10 ||
        !status.breakers.some(({ name, open }) => name === breaker && open) ||
        !status.advice.some(({ what }) => what.startsWith(`The breaker ${breaker} is open since`)),
      describe(status, exitCode)
    )
})

/** Collection is paused, by whom and why. */
export const paused = (reason: string): Claim => ({
  page: (page) => pageSays(page, 200, ["Collection is paused. Nothing is deleted.", reason]),
  status: (status, exitCode) =>
    without(
      status === null || exitCode !== 10 || status.activity !== "paused" || status.pause?.reason !== reason,
      describe(status, exitCode)
    )
})
