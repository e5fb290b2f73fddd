/** What the collectors do now, and what an operator should do next. */
import { bytes, count, many, span } from "../../domain/Units.ts"
import type { EndedSweep, PhaseProgress, RunningSweep, Status } from "../../status/Status.ts"
import type { PageFacts } from "./Facts.ts"
import { type Html, html } from "./Html.ts"
import { table } from "./Table.ts"
import { chip, distance, figure, moment, roughly, section } from "./Words.ts"

const titles: Readonly<Record<Status["health"], string>> = {
  ok: "All is well",
  attention: "Something needs attention",
  broken: "Collection does not work"
}

const activities: Readonly<Record<Status["activity"], string>> = {
  sweeping: "A sweep is under way.",
  waiting: "The collectors wait for their next sweep.",
  paused: "Collection is paused. Nothing is deleted.",
  absent: "No collector is at work."
}

/** The first section: how it is, in a sentence and four figures. */
export const hero = ({ status }: PageFacts): Html => {
  const { activity, at, health, last, lastSuccessAt, nextDueAt } = status
  const now = Date.parse(at)
  return html`<section class="hero ${health}" aria-labelledby="health">
<h1 id="health">${titles[health]}</h1><p class="soft">${activities[activity]}</p>
<dl class="figures">
${figure("Last sweep", last === null ? "none yet" : distance(Date.parse(last.endedAt), now), last === null ? null : outcomeOf(last))}
${figure("Last success", lastSuccessAt === null ? "none yet" : distance(Date.parse(lastSuccessAt), now), lastSuccessAt === null ? null : moment(Date.parse(lastSuccessAt)))}
${figure("Next sweep", nextText(status, now), nextDueAt === null ? null : moment(Date.parse(nextDueAt)))}
${figure("Last sweep freed", last?.report ? bytes(last.report.totals.reclaimedBytes) : "–", last?.report ? many(last.report.totals.deleted, "object") : null)}
</dl></section>`
}

const nextText = ({ activity, nextDueAt }: Status, now: number): string => {
  if (nextDueAt !== null)
    return Date.parse(nextDueAt) < now - 1500
      ? `due ${distance(Date.parse(nextDueAt), now)}`
      : distance(Date.parse(nextDueAt), now)
  return activity === "sweeping" ? "under way" : activity === "paused" ? "paused" : "not planned"
}

const outcomes: Readonly<Record<string, string>> = {
  complete: "complete",
  bounded: "ended early, continues",
  failed: "failed in part",
  refused: "refused"
}

const outcomeOf = ({ endedAt, outcome, startedAt }: EndedSweep): string =>
  `${outcomes[outcome] ?? outcome}, took ${span(Math.max(0, Date.parse(endedAt) - Date.parse(startedAt)))}`

/** What to do next, worst first. */
export const advice = ({ status }: PageFacts): Html =>
  section(
    "next",
    "What to do next",
    status.advice.length === 0
      ? html`<p>Nothing. ${status.activity === "sweeping" ? "The sweep needs no help." : "Garbage is collected as it becomes due."}</p>`
      : html`<ul class="advice">${status.advice.map(
          ({ command, severity, what }) =>
            html`<li>${chip(severity)}<p class="says">${what}</p>${command === null ? null : html`<pre><code>${command}</code></pre>`}</li>`
        )}</ul>`
  )

/** The sweeps under way. Null without one. */
export const progress = ({ status }: PageFacts): Html | null => {
  const running = status.collectors.flatMap(({ id, sweep }) => (sweep === null ? [] : [{ id, sweep }]))
  if (running.length === 0) return null
  const now = Date.parse(status.at)
  return section("now", "Under way", html`${running.map(({ id, sweep }) => sweepOf(id, sweep, now))}`)
}

const sweepOf = (id: string, { at, phases, startedAt }: RunningSweep, now: number): Html => {
  const current = phases.at(-1)
  return html`<h3>${id}</h3>
<p class="soft small">Began ${distance(Date.parse(startedAt), now)}, last heard of ${distance(Date.parse(at), now)}.</p>
${current === undefined ? html`<p>The guards look first. No phase has begun.</p>` : currentOf(current, now)}
${
  phases.length === 0
    ? null
    : table({
        caption: `Phases of the sweep of ${id}`,
        columns: [
          { name: "Phase" },
          { name: "Examined", isNumber: true },
          { name: "Deleted", isNumber: true },
          { name: "Size", isNumber: true },
          { name: "A second", isNumber: true }
        ],
        rows: phases.map(({ bytes: size, deleted, perSecond, phase, seen }) => [
          phase,
          count(seen),
          count(deleted),
          bytes(size),
          perSecond >= 10 ? count(Math.round(perSecond)) : String(Number(perSecond.toFixed(1)))
        ])
      })
}`
}

const currentOf = ({ deleted, endsAt, expected, phase }: PhaseProgress, now: number): Html => {
  if (expected === null || expected <= 0) return html`<p>Phase <b>${phase}</b>. Its end is not known.</p>`
  const done = Math.min(deleted, expected)
  const share = Math.floor((100 * done) / expected)
  const ends =
    endsAt === null
      ? ""
      : Date.parse(endsAt) > now
        ? ` About ${roughly(Date.parse(endsAt) - now)} left.`
        : " About to end."
  return html`<p>Phase <b>${phase}</b>: ${count(done)} of ${many(expected, "object")}, ${share} %.${ends}</p>
<progress max="${expected}" value="${done}" aria-label="Progress of the phase ${phase}">${share} %</progress>`
}
