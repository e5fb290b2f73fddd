/**
 * The variables of this process, with secrets apart. Node writes the environment into diagnostic reports, for instance of a
 * crash under `--report-uncaught-exception`, and gives it to child processes.
 */
import { settings } from "../config/settings.ts"

/** Variables, as in `process.env`. */
export type Variables = Readonly<Record<string, string | undefined>>

const isSecret = (name: string): boolean =>
  secretNames.has(name) || /^OTEL_EXPORTER_OTLP(_[A-Z]+)?_HEADERS$/.test(name)

const secretNames: ReadonlySet<string> = new Set(
  Object.values(settings)
    .filter(({ secret }) => secret)
    .map(({ env }) => env)
)

const taken: Record<string, string> = {}

/**
 * Takes the program's secrets out of the environment of this process, and keeps the rest out of reports where Node can
 * (22.13 and newer). The variables of the AWS SDK stay, because it reads them for each new login.
 */
export const takeSecrets = (): void => {
  const { report } = process
  // Node 20 has no such switch.
  if (report !== undefined && "excludeEnv" in report) report.excludeEnv = true
  for (const [name, value] of Object.entries(process.env)) {
    if (value === undefined || !isSecret(name)) continue
    taken[name] = value
    delete process.env[name]
  }
}

/** Returns all variables, secrets included. */
export const variables = (): Variables => ({ ...process.env, ...taken })
