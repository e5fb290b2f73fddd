/** The error of settings that are given as values. Those of the program's environment fail with ConfigInvalid. */
import { Schema } from "effect"

/**
 * Says that settings which a program gives to the collector cannot be used. Each line of `problems` begins with the name
 * of the property.
 */
export class SettingsInvalid extends Schema.TaggedError<SettingsInvalid>()("SettingsInvalid", {
  /** All that is wrong, a line each. */
  problems: Schema.NonEmptyArray(Schema.String)
}) {
  override get message(): string {
    return `Invalid settings; nothing was done:\n${this.problems.map((problem) => `  ${problem}`).join("\n")}\nEvery setting is explained in docs/configuration.md.`
  }
}
