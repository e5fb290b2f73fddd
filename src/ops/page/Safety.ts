/** What holds back deletions, and who collects. */
import { bytes, count } from "../../domain/Units.ts"
import type { BreakerStatus, CollectorState } from "../../status/Status.ts"
import type { PageFacts } from "./Facts.ts"
import { type Html, html, type Value } from "./Html.ts"
import { table } from "./Table.ts"
import { chip, distance, moment, section } from "./Words.ts"

/** Pause, guards, breakers and changed settings. */
export const safety = ({ status }: PageFacts): Html => {
  const { breakers, guards, last, overrides, pause } = status
  const now = Date.parse(status.at)
  const rows: ReadonlyArray<ReadonlyArray<Value>> = [
    [
      "Pause",
      pause === null ? chip("ok", "✓ off") : chip("attention", "! on"),
      pause === null
        ? "Sweeps run."
        : `By ${pause.by}, ${distance(Date.parse(pause.since), now)}: ${pause.reason}. ${pause.until === null ? "Lasts until artifact-gc resume." : `Ends ${distance(Date.parse(pause.until), now)}.`}`
    ],
    ...(guards.length === 0
      ? [
          [
            "Guards",
            last === null ? chip("info", "not asked yet") : chip("ok", "✓ all passed"),
            last === null ? "They look before each sweep." : "Nothing was found before the last sweep."
          ]
        ]
      : guards.map(({ decision, guard, message }) => [
          `Guard ${guard}`,
          decision === "refused" ? chip("broken", "✕ refused") : chip("info", "i allowed"),
          message
        ])),
    ...(breakers.length === 0
      ? [["Breakers", chip("ok", "✓ closed"), "None has ever tripped."]]
      : breakers.map((breaker) => breakerRow(breaker, now))),
    ...overrides.map(({ by, name, reason, until, value }) => [
      html`<code>${name}</code>`,
      chip("info", "i changed"),
      `${value}, by ${by}: ${reason}.${until === null ? "" : ` Ends ${distance(Date.parse(until), now)}.`}`
    ])
  ]
  return section(
    "safety",
    "Guards and breakers",
    table({
      caption: "What may hold back deletions",
      columns: [{ name: "Protection" }, { name: "State" }, { name: "Details", isLong: true }],
      rows: rows.map(([name, state, text]) => [
        name ?? null,
        state ?? null,
        html`<span class="says">${text ?? null}</span>`
      ])
    })
  )
}

const breakerRow = (
  { confirmedAt, exposure, name, open, trippedAt }: BreakerStatus,
  now: number
): ReadonlyArray<Value> => [
  `Breaker ${name}`,
  open ? chip("broken", "✕ open") : chip("ok", "✓ closed"),
  [
    ...(trippedAt === null ? [] : [`Tripped ${distance(Date.parse(trippedAt), now)}.`]),
    ...(exposure === null
      ? []
      : [
          `${count(exposure.blobs)} of ${count(exposure.totalBlobs)} (${bytes(exposure.bytes)}) would have been deleted.`
        ]),
    ...(open
      ? [`If that is right: artifact-gc breaker --confirm ${name}`]
      : confirmedAt === null
        ? []
        : [`Confirmed ${distance(Date.parse(confirmedAt), now)}.`])
  ].join(" ")
]

const activities: Readonly<Record<CollectorState["activity"], string>> = {
  sweeping: "sweeps",
  waiting: "waits",
  unknown: "does not say"
}

/** The replicas. */
export const collectors = ({ status }: PageFacts): Html =>
  section(
    "collectors",
    "Replicas",
    status.collectors.length === 0
      ? html`<p>No collector is at work. A process that runs <code>artifact-gc run</code> or <code>artifact-gc serve</code> appears here with its first sweep.</p>`
      : table({
          caption: "Collectors of this catalogue",
          columns: [
            { name: "Collector", isLong: true },
            { name: "Does" },
            { name: "Last sweep began", isNumber: true },
            { name: "Next sweep", isNumber: true },
            { name: "Settings" }
          ],
          rows: status.collectors.map(({ activity, differs, id, nextDueAt, seenAt }) => [
            id,
            activities[activity],
            distance(Date.parse(seenAt), Date.parse(status.at)),
            nextDueAt === null ? null : moment(Date.parse(nextDueAt)),
            differs.length === 0 ? "the same" : html`${chip("attention", "! differ")} ${differs.join(", ")}`
          ])
        })
  )
