/** Replicas of this repository's registry, as its binary, on a database and a bucket of their own. */
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { freePorts, until } from "../servers/processes.mjs"

const binary = fileURLToPath(new URL("../../dist/main.js", import.meta.url))

/** The settings by which the binary finds the servers, and nothing else of this process's environment. */
const environment = ({ databaseUrl, s3 }, settings) => ({
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  DATABASE_URL: databaseUrl,
  S3_BUCKET: s3.bucket,
  S3_ENDPOINT: s3.endpoint,
  S3_REGION: s3.region,
  S3_ACCESS_KEY_ID: s3.accessKeyId,
  S3_SECRET_ACCESS_KEY: s3.secretAccessKey,
  ...settings
})

/** Makes catalogue and registry in an empty database. */
export const migrate = (group, servers) =>
  group.run(process.execPath, [binary, "migrate", "--create-catalog", "--registry"], {
    env: environment(servers, {})
  })

/** Starts one replica and answers when it can be pushed to. Environment settings may be given, and flags. */
export const startReplica = async (group, servers, name, { settings = {}, flags = [] } = {}) => {
  const [port] = await freePorts(1)
  const logFile = join(group.folder, `${name}.log`)
  const daemon = group.daemon(process.execPath, [binary, "serve", "--serve-port", String(port), ...flags], {
    env: environment(servers, settings),
    logFile,
    stopSignal: "SIGTERM"
  })
  const url = `http://127.0.0.1:${port}`
  const isUp = () =>
    fetch(`${url}/v2/`).then(
      (answer) => answer.ok,
      () => false
    )
  await until(name, daemon, 30_000, isUp)
  return { url, ...daemon }
}
