/** The error of a file of TLS: a certificate, a key, or authorities. */
import { Schema } from "effect"

/** Says that a certificate, a key or a list of authorities cannot be used. */
export class TlsRefused extends Schema.TaggedError<TlsRefused>()("TlsRefused", {
  /** The setting that names the file. */
  setting: Schema.String,
  /** The file. */
  path: Schema.String,
  /** What is wrong with it, in a clause that begins with a verb. */
  problem: Schema.String,
  /** What to do, in a sentence. */
  next: Schema.String
}) {
  override get message(): string {
    return `${this.setting}: ${this.path} ${this.problem}. ${this.next}`
  }
}
