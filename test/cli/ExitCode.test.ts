import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { CliError } from "effect/cli"
import { assert, describe, it } from "vitest"
import { TreeUnreadable } from "../../src/cli/demo/Tree.ts"
import { codeOf, Ended, exitCodes } from "../../src/cli/ExitCode.ts"
import { codeOf as codeOfReport } from "../../src/cli/SweepCommand.ts"
import { ConfigInvalid } from "../../src/config/Config.ts"
import { DatabaseError } from "../../src/domain/DatabaseError.ts"
import { SchemaRefused } from "../../src/domain/SchemaRefused.ts"
import { StorageError } from "../../src/domain/StorageError.ts"
import { emptyPhase, type SweepReport, totalsOf } from "../../src/domain/SweepReport.ts"
import { EmbeddedPostgresError } from "../../src/embedded-postgres/Embedded.ts"
import { ListenRefused } from "../../src/oci/http/Server.ts"
import { phaseNames } from "../fixtures/phases.ts"

const source = new URL("../../src/", import.meta.url).pathname

const report = (outcome: SweepReport["outcome"]): SweepReport => {
  const phases = Object.fromEntries(
    phaseNames.map((name) => [name, emptyPhase])
  ) as unknown as SweepReport["phases"]
  return {
    sweep: "20261122T000000.000Z-0000",
    startedAt: "2026-11-22T00:00:00.000Z",
    durationMillis: 0,
    dryRun: false,
    outcome,
    guards: [],
    store: null,
    phases,
    totals: totalsOf(phases, null),
    left: null
  }
}

const help = (errors: ReadonlyArray<CliError.NonShowHelpErrors>) =>
  new CliError.ShowHelp({ commandPath: ["artifact-gc"], errors })

describe("the exit code", () => {
  const unknown = new CliError.UnrecognizedOption({ option: "--x", suggestions: [] })
  const cases: ReadonlyArray<readonly [title: string, error: unknown, code: number]> = [
    ["of requested help is 0", help([]), 0],
    ["of a wrong command line is 2", help([unknown]), 2],
    ["of an invalid configuration is 2", new ConfigInvalid({ problems: ["X: y"] }), 2],
    ["of a tree that cannot be read is 2", new TreeUnreadable({ path: "/x", cause: new Error("ENOENT") }), 2],
    [
      "of an address that cannot be listened on is 2",
      new ListenRefused({ host: "127.0.0.1", port: 5000, code: "EADDRINUSE", settings: "SERVE" }),
      2
    ],
    [
      "of a catalogue that is refused is 4",
      new SchemaRefused({ problems: [{ kind: "NoReferences", table: "t", problem: "p", fix: "f" }] }),
      4
    ],
    [
      "of a database out of reach is 5",
      new DatabaseError({ operation: "inspect", reason: "Unavailable", detail: "x" }),
      5
    ],
    [
      "of a registry whose tables are missing is 4",
      new DatabaseError({ operation: "manifests.probe", reason: "NotInstalled", detail: "x" }),
      4
    ],
    [
      "of a store that denies access is 5",
      new StorageError({ operation: "probe", subject: "b", reason: "AccessDenied", detail: "x" }),
      5
    ],
    [
      "of an embedded PostgreSQL that cannot run is 5",
      new EmbeddedPostgresError({ reason: "in-use", dataDirectory: "/d", detail: "x" }),
      5
    ],
    ["of a command that chose its code is that code", new Ended({ code: 3 }), 3],
    ["of a defect is 1", new TypeError("x is not a function"), 1],
    ["of an error without a class is 1", "boom", 1],
    ["of nothing is 1", null, 1]
  ]
  for (const [title, error, code] of cases) it(title, () => assert.strictEqual(codeOf(error), code))

  it("of a sweep is 3 when something due was not deleted, and 4 when it was refused", () => {
    assert.deepStrictEqual(
      (["complete", "bounded", "failed", "refused"] as const).map((outcome) => codeOfReport(report(outcome))),
      [0, 0, 3, 4]
    )
  })

  it("exists for every error that ends a command", () => {
    /** Errors that only callers of the blob store or the registry see, or that end a phase and appear in its report. */
    const elsewhere = [
      "DigestMismatch",
      "SizeMismatch",
      "DigestUnsupported",
      "BlobUnknown",
      "UploadExpired",
      "LeftoversImplausible",
      "UploadUnknown",
      "OffsetMismatch",
      "UploadBusy",
      "BlobNeeded",
      "ManifestInvalid",
      "ManifestMissingBlobs",
      "ManifestNeeded",
      "ManifestUnknown",
      "RepositoryUnknown",
      "RowRefused",
      "NotAuthenticated"
    ]
    const tags = readdirSync(source, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts") && !name.startsWith("testing"))
      .flatMap((name) => [...readFileSync(join(source, name), "utf8").matchAll(/TaggedError<(\w+)>\(\)/g)])
      .map(([, tag]) => tag ?? "")
    assert.isAbove(tags.length, 8)
    const defects = tags.filter((_tag) => codeOf({ _tag }) === 1 && _tag !== "Ended")
    assert.deepStrictEqual(
      defects.filter((tag) => !elsewhere.includes(tag)),
      []
    )
  })

  it("is documented", () => {
    assert.deepStrictEqual(
      exitCodes.map(([code]) => code),
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 130]
    )
  })
})
