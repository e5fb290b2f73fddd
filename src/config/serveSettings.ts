/** The settings of `artifact-gc serve`: its address, its limits, and its credentials. */
import { choice, duration, integer, optionalText, secret, text, word } from "../domain/Setting.ts"

/** The settings of `serve`, by the name that the program uses. */
export const serve = {
  serveHost: text("SERVE_HOST", "127.0.0.1", {
    about:
      "Address on which the registry listens. The default is this host only: without REGISTRY_USERNAME or REGISTRY_TOKEN, every client that reaches it may push and delete. `0.0.0.0` or `::` means every address."
  }),
  servePort: integer("SERVE_PORT", 5000, 0, 65_535, {
    about: "Port on which the registry listens. 0 takes any free port, and the log names it."
  }),
  serveTlsCert: optionalText("SERVE_TLS_CERT", "path of a file", {
    about:
      "Certificate of the registry with those of its authorities, in PEM, together with SERVE_TLS_KEY. With both the registry speaks https, TLS 1.2 or newer, and no http. A renewed file takes effect within two seconds for new connections. A file that cannot be used is logged, and the old certificate stays."
  }),
  serveTlsKey: optionalText("SERVE_TLS_KEY", "path of a file", {
    about: "Private key of SERVE_TLS_CERT, in PEM, without a passphrase."
  }),
  serveNames: optionalText("SERVE_NAMES", "names, separated by commas", {
    about:
      "Names by which clients reach the registry, e.g. `registry.lan`. Needed only without credentials: then requests under other names than this host's own are refused, so that no web page reaches the registry under a name of its own. Addresses and `localhost` are always accepted."
  }),
  serveBodiesMax: integer("SERVE_BODIES_MAX", 16, 1, 10_000, {
    about:
      "Maximum number of blob bodies that are received at once. Further bodies wait, and new pushes are put off. Each body takes up to about 48 MiB with S3, so sixteen stay below a gigabyte. A body whose client does not keep up loses its place while others wait, and holds at most 8 MiB then.",
    tooLow: "Pushes wait for each other: a client sends five or six layers at once.",
    tooHigh: "Many pushes at once take more memory than the process has."
  }),
  serveIdleTimeout: duration("SERVE_IDLE_TIMEOUT", "1 minute", "1 second", {
    about: "Maximum time that a body may pause. The time for a whole body has no limit, however large it is.",
    tooLow: "Pushes over lines that stall for a moment are cut off.",
    tooHigh: "Clients that have disappeared keep their connections for longer."
  }),
  serveMinimumRate: integer("SERVE_MINIMUM_RATE", 1024, 0, 1_073_741_824, {
    about:
      "Least average rate of a body or a download, in bytes a second over SERVE_MINIMUM_RATE_WINDOW. A slower one is ended. Only the time counts for which its client is waited for. The slowest mobile lines move four times as much. 0 is no limit.",
    tooLow: "Clients that drip on purpose keep connections and memory for longer.",
    tooHigh: "Clients on slow lines can neither push nor pull large layers."
  }),
  serveMinimumRateWindow: duration("SERVE_MINIMUM_RATE_WINDOW", "1 minute", "1 second", {
    about:
      "Time over which SERVE_MINIMUM_RATE is measured. A client may pause for that long, if SERVE_IDLE_TIMEOUT allows it.",
    tooLow: "Clients on lines that stall for a moment are cut off.",
    tooHigh: "Clients that drip on purpose stay for longer before they are ended."
  }),
  serveReadersMax: integer("SERVE_READERS_MAX", 24, 1, 36, {
    about:
      "Maximum number of downloads that are read from the store at once. Further ones wait up to 30 seconds. A download whose client does not keep up loses its place while others wait, and continues later. The default leaves a third of the 37 connections for reading from S3 to the collector and to uploads of several chunks.",
    tooLow: "Pulls wait for each other.",
    tooHigh: "Uploads of several chunks wait for connections to the store."
  }),
  serveConnectionsMax: integer("SERVE_CONNECTIONS_MAX", 2000, 1, 1_000_000, {
    about:
      "Maximum number of connections of clients. Beyond it the registry closes the one that has been idle for longest, of the client that holds most. Each takes a file descriptor and some 20 kB.",
    tooLow: "Idle connections of clients and proxies are closed early.",
    tooHigh: "Idle connections use all file descriptors of the process."
  }),
  serveOrigins: optionalText("SERVE_ORIGINS", "origins, separated by commas", {
    about:
      "Origins of web pages that may use the registry from a browser, e.g. `https://ui.example`. Each must match exactly; there is no wildcard, because such a page may do whatever its user may."
  }),
  serveManifestMax: integer("SERVE_MANIFEST_MAX", 4_194_304, 1, 67_108_864, {
    about:
      "Maximum size of a manifest in bytes. Only manifests are held in memory as a whole. The distribution specification asks every registry to accept 4 MiB.",
    tooLow: "Large indexes and annotations are refused.",
    tooHigh: "A few requests fill the memory."
  }),
  serveRedirect: word("SERVE_REDIRECT", ["off", "presigned"], "off", {
    about:
      "Whether clients read blobs from the store instead of through this process. `presigned` answers a GET of a blob with 307 and an address in the store that works for SERVE_REDIRECT_LIFE. It needs S3, which clients must reach, and a GC_DELETE_DELAY above SERVE_REDIRECT_LIFE."
  }),
  serveRedirectLife: duration("SERVE_REDIRECT_LIFE", "10 minutes", "1 second", {
    about:
      "Time for which an address of SERVE_REDIRECT works. A download that began in time may end later. GC_DELETE_DELAY must be longer, so that no object is deleted while its address works.",
    tooLow: "Clients that queue layers before they read them find addresses that no longer work.",
    tooHigh: "An address that leaks can be used for longer, and deleted blobs use space for longer."
  }),
  serveRedirectEndpoint: optionalText("SERVE_REDIRECT_ENDPOINT", "URL", {
    about:
      "Address of the S3 server for clients, if they do not reach S3_ENDPOINT. The signature covers it, so a proxy in front of the store must pass this host name on."
  }),
  serveRedirectAgents: optionalText("SERVE_REDIRECT_AGENTS", "names, separated by commas", {
    about:
      "Begins of the `User-Agent` of clients that SERVE_REDIRECT sends to the store, e.g. `docker/, containerd/`. Others read through this process. Without it all clients are sent there."
  }),
  registryUsername: optionalText("REGISTRY_USERNAME", "text", {
    about: "Name for HTTP basic authentication (`docker login`), together with REGISTRY_PASSWORD."
  }),
  registryPassword: secret("REGISTRY_PASSWORD", "text", { about: "Password of REGISTRY_USERNAME." }),
  registryToken: secret("REGISTRY_TOKEN", "text", {
    about: "Token that is accepted as `Authorization: Bearer`, beside or instead of name and password."
  }),
  registryAnonymousPull: choice("REGISTRY_ANONYMOUS_PULL", false, {
    about:
      "Whether clients without credentials may pull. Pushes and deletes always need credentials then. With REGISTRY_URL every client can do both. Without it Docker's own client sends no credentials to such a registry, and its login accepts any password: push with podman or skopeo."
  }),
  registryHtpasswd: optionalText("REGISTRY_HTPASSWD", "path of a file", {
    about:
      "File of users and passwords, as `htpasswd -B` writes it (bcrypt). A change of the file takes effect within a second. Each user may do everything, unless REGISTRY_ACCESS says otherwise."
  }),
  registryAccess: optionalText("REGISTRY_ACCESS", "path of a file", {
    about:
      "File of rules that say which user may pull from, push to or delete from which repositories. docs/access.md explains it. A change of the file takes effect within a second. REGISTRY_TOKEN may do everything, whatever the rules say."
  }),
  registryUrl: optionalText("REGISTRY_URL", "a URL such as https://registry.example", {
    about:
      "The registry as clients reach it. With it clients log in for a token of five minutes, at `/token`. So wrong passwords are refused at login, and clients without credentials can pull where they may. Without it, clients send name and password with each request."
  }),
  registryTokenRealm: optionalText("REGISTRY_TOKEN_REALM", "a URL", {
    about:
      "Address of a token service of your own, for example docker_auth, to which clients are sent. It decides who may do what. Needs REGISTRY_TOKEN_SERVICE, REGISTRY_TOKEN_ISSUER and REGISTRY_TOKEN_KEYS."
  }),
  registryTokenService: optionalText("REGISTRY_TOKEN_SERVICE", "text", {
    about: "Name by which the token service knows this registry: the audience of its tokens."
  }),
  registryTokenIssuer: optionalText("REGISTRY_TOKEN_ISSUER", "text", {
    about: "Issuer of the token service's tokens."
  }),
  registryTokenKeys: optionalText("REGISTRY_TOKEN_KEYS", "path of a file, or an https URL", {
    about:
      "Public keys that verify the token service's tokens: a file of certificates or public keys in PEM, a file with a JSON Web Key Set, or the https address of one. A change of the file takes effect within a second."
  }),
  registryHold: duration("REGISTRY_HOLD", "24 hours", "1 second", {
    about:
      "Time for which a repository holds a blob after it was pushed or mounted, or a client was told that the repository has it. It holds the blob whether or not a manifest refers to it, and also after that manifest was deleted. A report counts blobs that only a hold keeps as `held`. GC_GRACE and GC_QUARANTINE follow. A day outlasts the slowest push from its first layer to its manifest.",
    tooLow: "Clients that push slowly send layers again that the collector would have kept.",
    tooHigh: "Layers of unfinished pushes, and of images that were deleted soon, use space for longer."
  }),
  registryUploadLease: duration("REGISTRY_UPLOAD_LEASE", "1 hour", "2 seconds", {
    about:
      "Time for which the intent of an object that is being written is valid. It is renewed every third of this time while bytes arrive or the store is at work. An hour is enough, because only the uploads of a killed replica wait for it.",
    tooLow:
      "A replica that is stopped for a moment loses the bytes it received, and clients send them again.",
    tooHigh: "Bytes that a killed replica was receiving use space for longer."
  })
}
