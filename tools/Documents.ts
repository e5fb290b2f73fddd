// The parts of the documentation that are made from the code: the tables of settings and of exit codes.
// Given the code's own tables, so that the tests can hold the documents to the sources without a build.

const cell = (text) => text.replaceAll("|", "\\|")

const settingRow = (setting) => {
  const value = setting.default === null ? "" : `\`${setting.default}\``
  const limits = [
    ...(setting.tooLow === undefined ? [] : [`Too low: ${setting.tooLow}`]),
    ...(setting.tooHigh === undefined ? [] : [`Too high: ${setting.tooHigh}`])
  ].join(" ")
  const about = setting.secret ? `${setting.about} Secret: never printed, environment only.` : setting.about
  return `| \`${setting.env}\` | ${cell(setting.form)} | ${value} | ${cell(about)} | ${cell(limits)} |`
}

/** Every setting, under its heading. */
const settingsTable = (sections) =>
  Object.entries(sections)
    .map(([heading, section]) =>
      [
        `### ${heading}`,
        "",
        "| variable | form | default | what it does, and why the default | what goes wrong |",
        "|---|---|---|---|---|",
        ...Object.values(section).map(settingRow)
      ].join("\n")
    )
    .join("\n\n")

/** The settings most people set, for the README. */
const common = [
  "DATABASE_URL",
  "S3_BUCKET",
  "S3_ENDPOINT",
  "S3_ACCESS_KEY_ID",
  "S3_SECRET_ACCESS_KEY",
  "GC_INTERVAL",
  "GC_CRON",
  "GC_GRACE",
  "GC_QUARANTINE",
  "GC_UNTAGGED_GRACE",
  "GC_UPLOAD_GRACE",
  "GC_SWEEP_MAX_DELETES",
  "SERVE_HOST",
  "SERVE_PORT",
  "REGISTRY_USERNAME",
  "REGISTRY_PASSWORD",
  "REGISTRY_TOKEN"
]

const commonTable = (sections) => {
  const all = Object.values(sections).flatMap((section) => Object.values(section))
  const rows = common.flatMap((env) => all.filter((setting) => setting.env === env))
  return [
    "| variable | default | what it does |",
    "|---|---|---|",
    ...rows.map(
      (setting) =>
        `| \`${setting.env}\` | ${setting.default === null ? "" : `\`${setting.default}\``} | ${cell(setting.about)} |`
    )
  ].join("\n")
}

const exitCodeTable = (exitCodes) =>
  [
    "| code | meaning |",
    "|---|---|",
    ...exitCodes.map(([code, meaning]) => `| ${code} | ${cell(meaning)} |`)
  ].join("\n")

const fill = (document, name, content) => {
  const [begin, end] = [`<!-- generated: ${name} -->`, `<!-- end: ${name} -->`]
  const from = document.indexOf(begin)
  const to = document.indexOf(end)
  if (from === -1 || to === -1) throw new Error(`The markers of "${name}" are missing.`)
  return `${document.slice(0, from + begin.length)}\n\n${content}\n\n${document.slice(to)}`
}

/** For each file, its text with the generated parts as the code now says. */
export const documents = ({ sections, exitCodes }) => ({
  "docs/configuration.md": (text) => fill(text, "settings", settingsTable(sections)),
  "README.md": (text) =>
    fill(fill(text, "settings", commonTable(sections)), "exit codes", exitCodeTable(exitCodes))
})
