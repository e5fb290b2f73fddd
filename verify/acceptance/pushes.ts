/**
 * Pushes as clients do not make them, or do not mean to: in many chunks, out of order, at the same offset on
 * two replicas, against their own end, torn, repeated; with bodies of no bytes and of gigabytes; by honest
 * clients that are slow, stall, or are fifty; and with replicas killed in every phase. Two replicas of the binary run on PostgreSQL 15 and a real S3 server, with
 * sweeps without a pause. At last, only what was acknowledged and is held may be left.
 *
 *   npm run test:pushes
 *
 * Exit codes: 0 when every check passed; 1 when any did not; 3 when this machine lacks something.
 * ARTIFACT_GC_TEST_TALLY names a file to which "pushes passed failed skipped" is appended.
 */
import { onEndingSignal, runProgram, tally } from "../../tools/Program.ts"
import { Group } from "../../tools/servers/Processes.ts"
import * as Servers from "../../tools/servers/Servers.ts"
import { Report } from "./clients/Report.ts"
import { openStored } from "./clients/Stored.ts"
import { firstImage } from "./pushes/FirstImage.ts"
import { honest } from "./pushes/Honest.ts"
import { killed } from "./pushes/Killed.ts"
import { oddities } from "./pushes/Oddities.ts"
import { settled } from "./pushes/Settled.ts"
import { World } from "./pushes/World.ts"
import { migrate } from "./Replicas.ts"

const main = async (): Promise<number> => {
  await Servers.install()
  const group = new Group()
  onEndingSignal(() => void group.stop().finally(() => process.exit(1)))
  const report = new Report()
  try {
    const found = await Servers.up({ group })
    await migrate(group, found)
    const world = await World.start(group, found)
    const stored = openStored(found)
    await report.suite({ checks: firstImage(world) })
    await report.suite({ checks: oddities(world) })
    await report.suite({ checks: honest(world) })
    await report.suite({ checks: killed(world) })
    await report.suite({ checks: settled(world, stored) })
    if (report.failed > 0) for (const { daemon } of world.replicas) process.stdout.write(`${daemon.log()}\n`)
    await stored.close()
  } finally {
    await group.stop()
  }
  tally("pushes", report)
  process.stdout.write(`\n${report.passed} passed, ${report.failed} failed\n`)
  return report.failed === 0 && report.passed > 0 ? 0 : 1
}

runProgram(main)
