/**
 * Images under the names that the compose file wants, from Debian's packages and MinIO's module: no registry of images can be
 * reached from everywhere. Each starts as the image of its project does. Grafana has no such source.
 */
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { Missing } from "../../tools/Program.ts"
import { minioProgram } from "../../tools/servers/Golang.ts"
import { haproxy } from "../../tools/servers/Haproxy.ts"
import * as Postgres from "../../tools/servers/Postgres.ts"
import * as Prometheus from "../../tools/servers/Prometheus.ts"
import { find, type Root, writeRoot } from "./Roots.ts"

/** The account of PostgreSQL in its image. */
const postgresUser = 999

const unprivileged = 65534

const accounts = "root:x:0:0:root:/:/none\npostgres:x:999:999::/:/none\nnobody:x:65534:65534::/:/none\n"

const shell = (): Root["programs"] => ({ [find("sh")]: "/bin/sh" })

/** What the entry point of PostgreSQL's image does with an empty volume, as far as the compose file asks for it. */
const postgresEntry = `#!/bin/sh
set -e
data=/var/lib/postgresql/data
if [ ! -s $data/PG_VERSION ]; then
  printf %s "$POSTGRES_PASSWORD" |
    initdb --pgdata $data --username "$POSTGRES_USER" --pwfile /dev/stdin --auth scram-sha-256 --encoding UTF8
  echo "host all all all scram-sha-256" >> $data/pg_hba.conf
  echo "CREATE DATABASE $POSTGRES_DB" | postgres --single -D $data postgres
fi
exec postgres -D $data -c "listen_addresses=*"
`

interface Made {
  readonly root: Root
  /** Changes of `docker import`. */
  readonly changes: ReadonlyArray<string>
}

const postgres = (cache: string): Made => {
  const found = Postgres.locate(cache)
  if (found === undefined) throw new Missing("PostgreSQL 15 is missing. Run: npm run servers -- install")
  const library = "/usr/lib/postgresql/15/lib"
  const share = "/usr/share/postgresql/15"
  const from = (path: string) => join(found.root, path)
  return {
    root: {
      env: found.env,
      programs: {
        ...shell(),
        ...Object.fromEntries(
          ["postgres", "initdb", "pg_isready"].map((name) => [
            join(found.bin, name),
            `/usr/lib/postgresql/15/bin/${name}`
          ])
        )
      },
      files: {
        [from(share)]: share,
        "/usr/lib/locale/C.utf8": "/usr/lib/locale/C.utf8",
        // Debian's PostgreSQL reads the system's time zones.
        "/usr/share/zoneinfo/UTC": "/usr/share/zoneinfo/UTC",
        ...Object.fromEntries(
          [
            "plpgsql.so",
            "dict_snowball.so",
            ...readdirSync(from(library)).filter((name) => /_and_/.test(name))
          ].map((name) => [from(join(library, name)), join(library, name)])
        )
      },
      texts: { "/entry.sh": postgresEntry, "/etc/passwd": accounts },
      folders: { "/var/lib/postgresql/data": postgresUser, "/var/run/postgresql": postgresUser }
    },
    changes: [
      "ENV PATH=/usr/lib/postgresql/15/bin:/bin LC_ALL=C.UTF-8",
      `USER ${postgresUser}`,
      'ENTRYPOINT ["/entry.sh"]'
    ]
  }
}

const minio = (cache: string): Made => ({
  root: {
    programs: {
      ...shell(),
      [find("mkdir")]: "/bin/mkdir",
      [find("curl")]: "/bin/curl",
      [minioProgram.binary(cache)]: "/bin/minio"
    }
  },
  changes: ["ENV PATH=/bin", 'ENTRYPOINT ["/bin/minio"]']
})

const balancer = (cache: string): Made => {
  const { env, path } = haproxy(cache)
  return {
    root: { env, programs: { [path]: "/usr/local/sbin/haproxy" } },
    changes: [
      "USER 99",
      'CMD ["/usr/local/sbin/haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]'
    ]
  }
}

const prometheus = (cache: string): Made => {
  const program = Prometheus.locate(cache, "prometheus")
  if (program === undefined) throw new Missing("Prometheus is missing. Run: npm run servers -- install")
  return {
    root: {
      programs: { [program]: "/bin/prometheus" },
      texts: { "/etc/passwd": accounts },
      folders: { "/prometheus": unprivileged }
    },
    changes: [
      `USER ${unprivileged}`,
      'ENTRYPOINT ["/bin/prometheus"]',
      'CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]'
    ]
  }
}

/** The services of the compose file whose images are made here. */
export const made = { postgres, minio, balancer, prometheus }

/** Imports an image under a name. */
export const importImage = async (
  docker: (...command: ReadonlyArray<string>) => Promise<string>,
  folder: string,
  service: keyof typeof made,
  cache: string,
  name: string
): Promise<void> => {
  const { changes, root } = made[service](cache)
  const tar = await writeRoot(folder, service, root)
  await docker("import", ...changes.flatMap((change) => ["--change", change]), tar, name)
}
