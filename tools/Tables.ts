/** What the generated documents are made of, read from the program. */
import { readFileSync } from "node:fs"
import { exitCodes } from "../src/cli/ExitCode.ts"
import { version } from "../src/cli/version.ts"
import { sections } from "../src/config/settings.ts"
import { declared } from "../src/ops/Declared.ts"
import { Status } from "../src/status/Status.ts"
import type { Tables } from "./Documents.ts"
import { helpDocs } from "./HelpDocs.ts"
import { manPage, newestDate } from "./ManPage.ts"
import { fileAt } from "./Repository.ts"

/** Reads all of it. */
export const tables = async (): Promise<Tables> => {
  const help = await helpDocs()
  const date = newestDate(readFileSync(fileAt("CHANGELOG.md"), "utf8"))
  const man = manPage({ help, sections, exitCodes, version, date })
  return { sections, exitCodes, metrics: declared, status: Status, help, man }
}
