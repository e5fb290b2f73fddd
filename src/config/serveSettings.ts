/** The settings of `artifact-gc serve`: where it listens, what it takes on at once, who may do what. */
import { choice, duration, integer, optionalText, secret, text } from "./Setting.ts"

export const registry = {
  serveHost: text("SERVE_HOST", "127.0.0.1", {
    about:
      "Address that the registry listens on. This host only, because without REGISTRY_USERNAME or REGISTRY_TOKEN whoever reaches it may push and delete. `0.0.0.0` or `::` is every address."
  }),
  servePort: integer("SERVE_PORT", 5000, 0, 65_535, {
    about: "Port that it listens on; 0 takes any that is free, and the log says which."
  }),
  serveBodiesMax: integer("SERVE_BODIES_MAX", 16, 1, 10_000, {
    about:
      "Bodies of blobs that are received at once; further ones wait, and pushes that would begin are put off. Each takes up to about 48 MiB with S3, so sixteen stay below a gigabyte.",
    tooLow: "Pushes wait for one another: a client sends five or six layers at once.",
    tooHigh: "Many pushes at once take more memory than the process has."
  }),
  serveIdleTimeout: duration("SERVE_IDLE_TIMEOUT", "1 minute", "1 second", {
    about: "Longest a body may stand still. There is no limit for a whole body, however large.",
    tooLow: "Pushes over lines that stall for a moment are cut off.",
    tooHigh: "Clients that are gone keep their place among SERVE_BODIES_MAX."
  }),
  serveManifestMax: integer("SERVE_MANIFEST_MAX", 4_194_304, 1, 67_108_864, {
    about:
      "Longest manifest, in bytes; only manifests are held in memory as a whole. 4 MiB is what the distribution specification asks every registry to take.",
    tooLow: "Large indexes and annotations are refused.",
    tooHigh: "A few requests fill the memory."
  }),
  registryUsername: optionalText("REGISTRY_USERNAME", "text", {
    about: "Name for HTTP basic authentication (`docker login`), together with REGISTRY_PASSWORD."
  }),
  registryPassword: secret("REGISTRY_PASSWORD", "text", { about: "Its password." }),
  registryToken: secret("REGISTRY_TOKEN", "text", {
    about: "A token that is accepted as `Authorization: Bearer`, beside or instead of name and password."
  }),
  registryAnonymousPull: choice("REGISTRY_ANONYMOUS_PULL", false, {
    about:
      "Whether those who do not say who they are may pull. Pushing and deleting always need credentials then, which Docker's own client does not give to such a registry: push with podman or skopeo."
  }),
  registryHold: duration("REGISTRY_HOLD", "24 hours", "1 second", {
    about:
      "How long a repository holds a blob that was pushed or mounted to it, or that a client was told it has, until a manifest refers to it; GC_GRACE and GC_QUARANTINE follow. A day outlasts the slowest push from its first layer to its manifest.",
    tooLow: "Clients that push slowly send layers again that the collector would have kept.",
    tooHigh:
      "Layers of pushes that were never finished, and of images that were deleted soon, take up space for longer."
  }),
  registryUploadLease: duration("REGISTRY_UPLOAD_LEASE", "1 hour", "2 seconds", {
    about:
      "How long the announcement of an object that is being written holds; renewed every third of it while bytes come or the store is at work. An hour, because only what a killed replica had in hand waits for it.",
    tooLow: "A replica that is stopped for a moment loses what it had received; clients send it again.",
    tooHigh: "What a killed replica had in hand takes up space for longer."
  })
}
