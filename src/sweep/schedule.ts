/** The settings of the schedule that operators may change in the database, beside those of the pace. */
import { duration, optionalText } from "../domain/Setting.ts"

/** Time between two sweeps. */
export const interval = duration("GC_INTERVAL", "1 hour", "1 second", {
  about: "Time from the end of one sweep to the beginning of the next. An hour, because the waits are hours.",
  tooLow: "Sweeps scan the catalogue again and again and find nothing new.",
  tooHigh: "Garbage stays up to this long beyond its waits, and sweeps are large."
})

/** Hours in which sweeps may run. */
export const window = optionalText("GC_WINDOW", "HH:MM-HH:MM", {
  about:
    "Hours of the day in which sweeps of `run` and `serve` may run, e.g. `22:00-06:00`. A sweep that is due waits for them. A sweep under way ends with them, and the next continues. Without it, sweeps run at any hour.",
  tooLow: "Garbage grows faster than it is collected in these hours."
})
