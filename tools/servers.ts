/**
 * Installs and runs the real servers of the real test suite, of the acceptance suites and of the benchmarks.
 * The usage text below says how.
 */
import { Missing, onEndingSignal, runProgram, Usage } from "./Program.ts"
import { Group } from "./servers/Processes.ts"
import * as Servers from "./servers/Servers.ts"

const usage = `usage: npm run servers -- install [STORE…] | up | run [options] [-- command…]

PostgreSQL 15 with PgBouncer, and an S3 server, fresh for each start and removed afterwards. "install" also fetches
promtool, which checks metrics, Chromium, which shows the status page, zsh and fish, whose completions are tried,
and mandoc, which judges the page of man.

  install [STORE…]    fetches what is missing into the cache folder: radosgw, minio, versitygw
  up [options]        starts both, prints where they are as JSON, and runs until SIGINT or SIGTERM
  run [options] -- C  starts both, runs the command C with REAL_DATABASE_URL and REAL_S3_… set, and stops them

  --no-fsync          PostgreSQL does not wait for the disk
  --stdin-lifeline    \`up\` also stops when its standard input is closed
  --help              prints this text

  ARTIFACT_GC_REAL_DIR   the cache folder, .real/ in the repository by default
  ARTIFACT_GC_REAL_S3    the store: radosgw (default), minio or versitygw

Exit code 2 says that the command line is wrong. Exit code 3 says that this machine lacks something: the
message says what, and how to get it.
`

/** Starts both servers, prints where they are, and stops them when asked to. */
const serve = async (fsync: boolean, hasLifeline: boolean): Promise<void> => {
  const group = new Group()
  const asked = new Promise<void>((resolve) => {
    const end = () => resolve()
    onEndingSignal(end)
    if (hasLifeline) process.stdin.resume().once("end", end).once("close", end).once("error", end)
  }).then(() => group.stop())
  try {
    const { databaseUrl, poolerUrl, s3 } = await Servers.up({ fsync, group })
    process.stdout.write(`${JSON.stringify({ databaseUrl, poolerUrl, s3 })}\n`)
    // A promise alone does not keep Node running.
    const alive = setInterval(() => {}, 60_000)
    await asked
    clearInterval(alive)
  } catch (error) {
    if (!group.stopped || error instanceof Missing) throw error
  }
  process.stdin.pause()
}

const options = ["--no-fsync", "--stdin-lifeline", "--help"]

const main = async ([verb, ...rest]: ReadonlyArray<string>): Promise<number> => {
  const end = rest.includes("--") ? rest.indexOf("--") : rest.length
  const given = rest.slice(0, end)
  const [command, ...args] = rest.slice(end + 1)
  if (verb === "--help" || given.includes("--help")) {
    process.stdout.write(usage)
    return 0
  }
  if (verb === "install") {
    const names = given.length === 0 ? [Servers.s3Server().name] : given
    await Servers.install(names)
    process.stdout.write(`PostgreSQL 15 and ${names.join(" and ")} are ready to start.\n`)
    return 0
  }
  const unknown = given.find((option) => !options.includes(option))
  if (unknown !== undefined) throw new Usage(`${unknown}: unknown.\n\n${usage}`)
  const fsync = !given.includes("--no-fsync")
  if (verb === "up") {
    await serve(fsync, given.includes("--stdin-lifeline"))
    return 0
  }
  if (verb === "run" && command !== undefined) return await Servers.runWithServers(command, args, { fsync })
  throw new Usage(usage)
}

runProgram(main)
