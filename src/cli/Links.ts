/** The section of the documentation that explains an error. A test holds each to a heading that exists. */

const guards = "docs/operations.md#when-a-guard-refuses"

/** Sections by the tag of an error. */
const byTag: Readonly<Record<string, string>> = {
  ConfigInvalid: "docs/configuration.md",
  SettingsInvalid: "docs/configuration.md",
  ListenRefused: "docs/configuration.md#registry",
  AccessFileRefused: "docs/access.md",
  TlsRefused: "docs/tls.md",
  SecretRefused: "docs/tls.md#secrets-in-files",
  SchemaRefused: "docs/operations.md#first-run-on-your-own-catalogue",
  CollectionPaused: "docs/operations.md#pausing",
  ReferencesChanged: guards,
  SourcesMissing: "docs/operations.md#reference-sources",
  ClockRefused: guards,
  SettingsRefused: guards,
  StoreRefused: "docs/operations.md#buckets-with-versions-or-locks",
  WritersRefused: guards,
  KeysRefused: guards,
  BindingRefused: "docs/operations.md#another-store-catalogue-or-server",
  RebindRefused: "docs/operations.md#another-store-catalogue-or-server",
  AgeRefused: "docs/operations.md#restoring-one",
  RepairRefused: "docs/operations.md#audit",
  BreakerOpen: "docs/operations.md#when-the-breaker-opens",
  DatabaseError: "docs/doctor.md",
  StorageError: "docs/guides/stores.md",
  EmbeddedPostgresError: "docs/faq.md"
}

/** Sections by tag and reason, where a reason has one of its own. */
const byReason: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  DatabaseError: {
    Denied: "docs/operations.md#privileges",
    Misdirected: "docs/operations.md#connection-poolers",
    NotInstalled: "docs/operations.md#first-run-on-your-own-catalogue"
  },
  StorageError: { AccessDenied: "docs/operations.md#privileges" },
  EmbeddedPostgresError: {
    "in-use": "docs/faq.md#why-does-a-service-say-that-another-process-holds-the-database"
  }
}

/** Sections by the guard that refuses a sweep. */
const byGuard: Readonly<Record<string, string>> = {
  schema: "docs/operations.md#first-run-on-your-own-catalogue",
  pause: "docs/operations.md#pausing",
  store: "docs/operations.md#buckets-with-versions-or-locks",
  binding: "docs/operations.md#another-store-catalogue-or-server",
  age: "docs/operations.md#restoring-one",
  breaker: "docs/operations.md#when-the-breaker-opens"
}

const textOf = (value: object, name: string): string | null => {
  const found: unknown = Reflect.get(value, name)
  return typeof found === "string" ? found : null
}

/** Returns the section about an error; null where none says more. */
export const ofError = (error: unknown): string | null => {
  if (typeof error !== "object" || error === null) return null
  const [tag, reason] = [textOf(error, "_tag") ?? "", textOf(error, "reason") ?? ""]
  return byReason[tag]?.[reason] ?? byTag[tag] ?? null
}

/** Returns the section about a guard that refuses. */
export const ofGuard = (guard: string): string => byGuard[guard] ?? guards

/** Every section that an error or a guard leads to. */
export const all: ReadonlyArray<string> = [
  ...new Set([
    ...Object.values(byTag),
    ...Object.values(byReason).flatMap((sections) => Object.values(sections)),
    ...Object.values(byGuard),
    guards
  ])
]
