/** What is in the store: blobs by state, queues, dead letters, repositories. */
import { bytes, count, many } from "../../domain/Units.ts"
import type { LargestRepositories } from "../../oci/database/RegistryDatabase.ts"
import type { Queue, Status } from "../../status/Status.ts"
import type { PageFacts, Slow } from "./Facts.ts"
import { type Html, html, type Value } from "./Html.ts"
import { table } from "./Table.ts"
import { distance, moment, roughly, section } from "./Words.ts"

const queueOf = ({ queues }: Status, name: Queue["queue"]): Queue | undefined =>
  queues.find(({ queue }) => queue === name)

interface State {
  readonly name: string
  readonly kind: string
  readonly number: number | null
  readonly size: number | null
  readonly meaning: string
}

/** The store by state. */
export const store = (facts: PageFacts): Html => {
  const states = statesOf(facts)
  const known = states.filter((state): state is State & { number: number } => state.number !== null)
  const all = known.reduce((sum, { number }) => sum + number, 0)
  return section(
    "store",
    "Store by state",
    html`${all === 0 || facts.stock._tag !== "Known" ? null : stack(known, all)}${table({
      caption: "Objects by state",
      columns: [
        { name: "State" },
        { name: "Number", isNumber: true },
        { name: "Size", isNumber: true },
        { name: "Meaning" }
      ],
      rows: states.map(
        ({ kind, meaning, name, number, size }): ReadonlyArray<Value> => [
          html`<span class="key ${kind}" aria-hidden="true"></span>${name}`,
          number === null ? null : count(number),
          size === null ? null : bytes(size),
          meaning
        ]
      )
    })}${slowNote(facts.stock, facts, "Blobs are counted")}`
  )
}

const statesOf = ({ status, stock }: PageFacts): ReadonlyArray<State> => {
  const { at, lastAudit } = status
  const waiting = queueOf(status, "orphans")?.length ?? 0
  const condemned = queueOf(status, "condemned")
  const journal = queueOf(status, "journal")
  const dead = queueOf(status, "dead_letters")?.length ?? 0
  const total = stock._tag === "Known" ? stock.value : null
  const condemnedBytes = condemned?.bytes ?? 0
  return [
    {
      name: "Live",
      kind: "live",
      number: total === null ? null : Math.max(0, total.blobs - waiting - (condemned?.length ?? 0)),
      size: total === null ? null : Math.max(0, total.bytes - condemnedBytes),
      meaning:
        waiting === 0
          ? "referenced, or too young to judge"
          : "referenced, or too young to judge; the size includes waiting blobs"
    },
    {
      name: "Waiting",
      kind: "waiting",
      number: waiting,
      size: null,
      meaning: "unreferenced, within GC_GRACE"
    },
    {
      name: "Condemned",
      kind: "condemned",
      number: condemned?.length ?? 0,
      size: condemnedBytes,
      meaning: "in quarantine; can be restored"
    },
    {
      name: "Journaled",
      kind: "journaled",
      number: (journal?.length ?? 0) + dead,
      size: journal?.bytes ?? null,
      meaning:
        dead === 0
          ? "the row is deleted, the object is next"
          : `the row is deleted; ${many(dead, "dead letter")}`
    },
    {
      name: "Ownerless",
      kind: "ownerless",
      number: lastAudit?.ownerless.objects ?? null,
      size: lastAudit?.ownerless.bytes ?? null,
      meaning:
        lastAudit === null
          ? "objects without a row; counted by artifact-gc audit"
          : `objects without a row, at the last audit, ${distance(Date.parse(lastAudit.endedAt), Date.parse(at))}`
    }
  ]
}

const percent = (share: number): string => `${Number((100 * share).toFixed(3))}%`

const stack = (states: ReadonlyArray<State & { readonly number: number }>, all: number): Html => {
  let from = 0
  const parts = states.map(({ kind, number }) => {
    const part = html`<rect class="${kind}" x="${percent(from)}" width="${percent(number / all)}" y="0" height="22"/>`
    from += number / all
    return number === 0 ? null : part
  })
  return html`<svg class="stack" role="img" aria-labelledby="stack-title stack-text" width="100%" height="22"><title id="stack-title">Objects by state</title><desc id="stack-text">${states.map(({ name, number }) => `${name}: ${count(number)}`).join(", ")}.</desc>${parts}</svg>`
}

const queueNames: Readonly<Record<Queue["queue"], readonly [name: string, meaning: string]>> = {
  candidates: ["Candidates", "blobs whose references changed"],
  orphans: ["Orphans", "unreferenced, within their grace period"],
  condemned: ["Condemned", "in quarantine"],
  journal: ["Journal", "keys to delete"],
  dead_letters: ["Dead letters", "keys that were given up on"],
  intents: ["Intents", "announced uploads"],
  sessions: ["Upload sessions", "open or being finished"],
  pins: ["Pins", "blobs kept without a reference"]
}

/** Depths and ages of the queues. */
export const queues = ({ status }: PageFacts): Html => {
  const now = Date.parse(status.at)
  return section(
    "queues",
    "Queues",
    table({
      caption: "Rows that wait for a later sweep",
      columns: [
        { name: "Queue" },
        { name: "Length", isNumber: true },
        { name: "Size", isNumber: true },
        { name: "Oldest", isNumber: true },
        { name: "Due", isNumber: true }
      ],
      rows: status.queues.map(
        ({ bytes: size, dueAt, length, oldestAt, overdueMillis, queue }): ReadonlyArray<Value> => [
          html`${queueNames[queue][0]} <span class="soft small">${queueNames[queue][1]}</span>`,
          count(length),
          size === null ? null : bytes(size),
          oldestAt === null ? null : roughly(Math.max(0, now - Date.parse(oldestAt))),
          dueAt === null
            ? null
            : overdueMillis > 0
              ? `since ${roughly(overdueMillis)}`
              : distance(Date.parse(dueAt), now)
        ]
      )
    })
  )
}

/** Dead letters by reason, and the command that retries them. */
export const deadLetters = ({ deadLetters: { groups, read }, status }: PageFacts): Html => {
  const length = queueOf(status, "dead_letters")?.length ?? 0
  const now = Date.parse(status.at)
  return section(
    "dead",
    "Dead letters",
    groups.length === 0
      ? html`<p>None. Each key that was journaled could be deleted, or is still tried.</p>`
      : html`${table({
          caption: "Keys that were given up on, by reason",
          columns: [
            { name: "Reason" },
            { name: "Keys", isNumber: true },
            { name: "Size", isNumber: true },
            { name: "Oldest", isNumber: true },
            { name: "Example", isLong: true }
          ],
          rows: groups.map(
            ({ bytes: size, example, keys, oldestAt, reason }): ReadonlyArray<Value> => [
              reason,
              count(keys),
              bytes(size),
              roughly(Math.max(0, now - oldestAt)),
              html`<code>${example.key}</code> <span class="soft small">${example.error}</span>`
            ]
          )
        })}${length > read ? html`<p class="soft small">The reasons are those of the first ${count(read)} of ${count(length)}.</p>` : null}
<p>Repair the cause, then put them back. The next sweep tries again.</p><pre><code>artifact-gc journal --retry</code></pre>`
  )
}

/** The largest repositories. Null without a registry. */
export const repositories = (facts: PageFacts): Html | null => {
  const { repositories: found } = facts
  if (found._tag === "Known" && found.value.repositories.length === 0) return null
  return section(
    "repositories",
    "Largest repositories",
    html`${found._tag === "Known" ? sizesOf(found.value.repositories) : null}${slowNote(found, facts, "Sizes are computed")}${
      found._tag === "Known"
        ? html`<p class="soft small">${sampled(found.value.share)}Layers that repositories share count for each. The last column counts blobs that no other repository needs. Pins, holds and your own tables may keep some.</p>`
        : null
    }`
  )
}

const sizesOf = (rows: LargestRepositories["repositories"]): Html =>
  table({
    caption: "The 20 largest repositories",
    columns: [
      { name: "Repository", isLong: true },
      { name: "Manifests", isNumber: true },
      { name: "Tags", isNumber: true },
      { name: "Size", isNumber: true },
      { name: "Freed if deleted", isNumber: true }
    ],
    rows: rows.map(
      (row): ReadonlyArray<Value> => [
        row.repository,
        count(row.manifests),
        count(row.tags),
        bytes(row.bytes),
        bytes(row.freedBytes)
      ]
    )
  })

const sampled = (share: number): string =>
  share === 1
    ? ""
    : `Sizes are estimates from a sample of ${Number((100 * share).toPrecision(2))} % of all blobs, and a repository of few large blobs may be missing. `

const slowNote = (slow: Slow<unknown>, { status }: PageFacts, what: string): Html => {
  const now = Date.parse(status.at)
  switch (slow._tag) {
    case "Known":
      return html`<p class="soft small">${what} seldom on a large catalogue, last ${distance(slow.at, now)}.</p>`
    case "Pending":
      return html`<p class="soft small">${what} in the background. Open the page again in a moment.</p>`
    case "Failed":
      return html`<p class="soft small">${what} in at most 5 seconds, and that was too short or failed. The log has the reason. The next attempt is possible from ${moment(slow.retryAt)} UTC on.</p>`
  }
}
