#!/usr/bin/env node
/** The binary. Says what to install where a package of the program is missing that the library does not need. */

const isMissingPackage = (error: unknown): error is Error =>
  error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND"

try {
  const { run } = await import("./cli/Program.ts")
  run()
} catch (error) {
  if (!isMissingPackage(error)) throw error
  process.stderr.write(
    `${error.message}\nThe program needs packages that the library does not. Nothing was done. Install them beside artifact-gc: npm install effect@^4.1 @effect/sql-pg@^4 @effect/platform-node@^4.1 @aws-sdk/client-s3@^3\n`
  )
  process.exitCode = 2
}
