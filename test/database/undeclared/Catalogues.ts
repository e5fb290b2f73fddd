/** Catalogues of real systems in small: which of their columns are asked about. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import type { CatalogNames } from "../../../src/domain/CatalogNames.ts"
import { refusalOf, scene, suspectsIn } from "../../fixtures/database/Sweeping.ts"
import { fixesIn } from "./Cases.ts"

interface System {
  readonly names: Partial<CatalogNames>
  readonly tables: ReadonlyArray<string>
  /** The columns asked about; none where the catalogue is accepted. */
  readonly suspects: ReadonlyArray<string>
}

const hex = (n: string) => `encode(sha256((${n})::text::bytea), 'hex')`

/** The catalogue of an artifact proxy: `local_files` has a foreign key or none. */
const artifactProxy = (localFiles: string) => [
  `CREATE TABLE blobs (content_hash text PRIMARY KEY, s3_key text NOT NULL UNIQUE, size_bytes bigint, content_type text,
     created_at timestamptz NOT NULL)`,
  `CREATE TABLE artifacts (id serial PRIMARY KEY, remote text, path text, etag text,
     content_hash text NOT NULL REFERENCES blobs)`,
  "CREATE INDEX ON artifacts (content_hash)",
  `CREATE TABLE local_files (id serial PRIMARY KEY, path text, content_hash text NOT NULL ${localFiles})`,
  "CREATE INDEX ON local_files (content_hash)",
  `INSERT INTO blobs SELECT ${hex("n")}, 'blobs/sha256/' || ${hex("n")}, 1, 'x', timestamptz 'epoch' FROM generate_series(1, 10) n`,
  `INSERT INTO artifacts (remote, path, etag, content_hash) SELECT 'pypi', 'p' || n, md5(n::text), ${hex("n")} FROM generate_series(1, 5) n`,
  `INSERT INTO local_files (path, content_hash) SELECT 'l' || n, ${hex("n")} FROM generate_series(6, 9) n`
]
const artifactProxyNames = { digestColumn: "content_hash", keyColumn: "s3_key", lastUsedAtColumn: null }

/** Rails ActiveStorage; its attachments had no foreign key before a later migration. */
const activeStorage = (attachments: string) => [
  `CREATE TABLE active_storage_blobs (id bigserial PRIMARY KEY, key varchar NOT NULL UNIQUE, filename varchar, content_type varchar,
     metadata text, service_name varchar, byte_size bigint NOT NULL, checksum varchar, created_at timestamptz NOT NULL)`,
  `CREATE TABLE active_storage_attachments (id bigserial PRIMARY KEY, name varchar NOT NULL, record_type varchar NOT NULL,
     record_id bigint NOT NULL, blob_id bigint NOT NULL ${attachments}, created_at timestamptz)`,
  "CREATE INDEX ON active_storage_attachments (blob_id)",
  `CREATE TABLE active_storage_variant_records (id bigserial PRIMARY KEY, blob_id bigint NOT NULL REFERENCES active_storage_blobs,
     variation_digest varchar NOT NULL)`,
  "CREATE INDEX ON active_storage_variant_records (blob_id)",
  "CREATE TABLE users (id bigserial PRIMARY KEY, email varchar, password_digest varchar, team_id bigint)",
  "CREATE TABLE schema_migrations (version varchar PRIMARY KEY)",
  `INSERT INTO active_storage_blobs (key, filename, byte_size, checksum, created_at)
     SELECT substr(md5(n::text), 1, 28), 'f', 1, md5(n::text), timestamptz 'epoch' FROM generate_series(1, 5) n`,
  "INSERT INTO active_storage_attachments (name, record_type, record_id, blob_id) SELECT 'avatar', 'User', n, n FROM generate_series(1, 4) n",
  "INSERT INTO active_storage_variant_records (blob_id, variation_digest) SELECT 1, substr(md5(n::text), 1, 27) FROM generate_series(1, 12) n",
  "INSERT INTO users (email, password_digest) SELECT n || '@x.org', '$2a$12$' || md5(n::text) FROM generate_series(1, 4) n"
]
const activeStorageNames = {
  blobsTable: "active_storage_blobs",
  digestColumn: "id",
  keyColumn: "key",
  sizeColumn: "byte_size",
  lastUsedAtColumn: null
}

const all: Readonly<Record<string, System>> = {
  "an artifact proxy's": {
    names: artifactProxyNames,
    tables: artifactProxy("REFERENCES blobs"),
    suspects: []
  },
  "an artifact proxy's whose local files have no foreign key": {
    names: artifactProxyNames,
    tables: artifactProxy(""),
    suspects: ["public.local_files.content_hash"]
  },
  "ActiveStorage's": {
    names: activeStorageNames,
    tables: activeStorage("REFERENCES active_storage_blobs"),
    suspects: []
  },
  "ActiveStorage's without the foreign key of attachments": {
    names: activeStorageNames,
    tables: activeStorage(""),
    suspects: ["public.active_storage_attachments.blob_id"]
  },
  "Discourse's, whose references have no foreign keys but two, and are also part of texts": {
    names: {
      blobsTable: "uploads",
      digestColumn: "id",
      keyColumn: "url",
      sizeColumn: "filesize",
      lastUsedAtColumn: null
    },
    tables: [
      `CREATE TABLE uploads (id serial PRIMARY KEY, user_id int, original_filename varchar, filesize bigint, url varchar NOT NULL UNIQUE,
         sha1 varchar(40) UNIQUE, original_sha1 varchar, created_at timestamptz NOT NULL)`,
      `CREATE TABLE user_profiles (user_id int PRIMARY KEY, profile_background_upload_id int REFERENCES uploads,
         card_background_upload_id int REFERENCES uploads, bio_raw text)`,
      "CREATE INDEX ON user_profiles (profile_background_upload_id)",
      "CREATE INDEX ON user_profiles (card_background_upload_id)",
      "CREATE TABLE upload_references (id bigserial PRIMARY KEY, upload_id bigint NOT NULL, target_type varchar, target_id bigint)",
      "CREATE TABLE user_avatars (id serial PRIMARY KEY, custom_upload_id int, gravatar_upload_id int)",
      "CREATE TABLE posts (id serial PRIMARY KEY, user_id int, raw text, cooked text, reads int)",
      "CREATE TABLE topics (id serial PRIMARY KEY, title varchar, slug varchar)",
      `INSERT INTO uploads (filesize, url, sha1, created_at) SELECT 1, '/uploads/default/original/1X/' || ${hex("n")} || '.png',
         substr(${hex("n")}, 1, 40), timestamptz 'epoch' FROM generate_series(1, 5) n`,
      "INSERT INTO user_profiles (user_id, profile_background_upload_id, bio_raw) VALUES (1, 1, 'about me')",
      "INSERT INTO upload_references (upload_id, target_type, target_id) SELECT n, 'Post', n FROM generate_series(2, 4) n",
      "INSERT INTO posts (raw, cooked) SELECT 'a', '<p>a</p><img src=\"' || url || '\">' FROM uploads",
      "INSERT INTO topics (title, slug) VALUES ('A topic about uploads', 'a-topic-about-uploads')"
    ],
    suspects: [
      "public.posts.cooked",
      "public.upload_references.upload_id",
      "public.user_avatars.custom_upload_id",
      "public.user_avatars.gravatar_upload_id"
    ]
  },
  "Harbor's after the foreign key that the guard asks for": {
    names: {
      blobsTable: "blob",
      digestColumn: "digest",
      keyColumn: "object_key",
      sizeColumn: "size",
      createdAtColumn: "creation_time",
      lastUsedAtColumn: null
    },
    tables: [
      `CREATE TABLE blob (id serial PRIMARY KEY, digest varchar(255) NOT NULL UNIQUE, content_type varchar(1024), size bigint,
         status varchar(255), version bigint, creation_time timestamptz NOT NULL,
         object_key text NOT NULL UNIQUE GENERATED ALWAYS AS ('docker/registry/v2/blobs/' || digest) STORED)`,
      `CREATE TABLE artifact_blob (id serial PRIMARY KEY, digest_af varchar(255) NOT NULL,
         digest_blob varchar(255) NOT NULL REFERENCES blob (digest))`,
      "CREATE INDEX ON artifact_blob (digest_blob)",
      "CREATE TABLE project_blob (id serial PRIMARY KEY, project_id int NOT NULL, blob_id int NOT NULL)",
      "CREATE TABLE artifact (id serial PRIMARY KEY, project_id int, digest varchar(255) NOT NULL, extra_attrs text, icon varchar(255))",
      "CREATE TABLE artifact_accessory (id serial PRIMARY KEY, artifact_id bigint, subject_artifact_digest varchar(1024), digest varchar(1024))",
      "CREATE TABLE harbor_user (user_id serial PRIMARY KEY, username varchar(255), email varchar(255), password varchar(40), salt varchar(40))",
      "CREATE TABLE project (project_id serial PRIMARY KEY, name varchar(255), owner_id int)",
      `INSERT INTO blob (digest, size, creation_time) SELECT 'sha256:' || ${hex("n")}, 1, timestamptz 'epoch' FROM generate_series(1, 6) n`,
      `INSERT INTO artifact_blob (digest_af, digest_blob) SELECT 'sha256:' || ${hex("1")}, 'sha256:' || ${hex("n")} FROM generate_series(1, 3) n`,
      `INSERT INTO artifact (digest, extra_attrs) VALUES ('sha256:' || ${hex("1")}, '{"os":"linux"}')`,
      "INSERT INTO project_blob (project_id, blob_id) SELECT 1, n FROM generate_series(1, 3) n",
      "INSERT INTO project (name) VALUES ('library')"
    ],
    suspects: [
      "public.artifact.digest",
      "public.artifact_accessory.subject_artifact_digest",
      "public.artifact_accessory.digest",
      "public.artifact_blob.digest_af",
      "public.project_blob.blob_id"
    ]
  },
  "a package registry's by uuid, with a reference in another schema": {
    names: { blobsTable: "stored_files", digestColumn: "id", keyColumn: "path", lastUsedAtColumn: null },
    tables: [
      `CREATE TABLE stored_files (id uuid PRIMARY KEY, path text NOT NULL UNIQUE, size_bytes bigint, created_at timestamptz NOT NULL)`,
      "CREATE TABLE package_files (id uuid PRIMARY KEY, stored_file_id uuid NOT NULL REFERENCES stored_files, name text)",
      "CREATE INDEX ON package_files (stored_file_id)",
      "CREATE SCHEMA audit",
      "CREATE TABLE audit.events (id uuid PRIMARY KEY, actor_id uuid, subject uuid, details jsonb)",
      "CREATE TABLE accounts (id uuid PRIMARY KEY, owner_id uuid, name text)",
      `INSERT INTO stored_files SELECT md5(n::text)::uuid, 'files/' || md5(n::text), 1, timestamptz 'epoch' FROM generate_series(1, 5) n`,
      "INSERT INTO package_files SELECT gen_random_uuid(), md5('1')::uuid, 'x'",
      "INSERT INTO audit.events SELECT gen_random_uuid(), gen_random_uuid(), md5('3')::uuid, jsonb_build_object('file', md5('4')::uuid)",
      "INSERT INTO accounts SELECT gen_random_uuid(), gen_random_uuid(), 'n' FROM generate_series(1, 20)"
    ],
    suspects: ["audit.events.subject", "audit.events.details"]
  },
  "digests that are bytes": {
    names: { lastUsedAtColumn: null },
    tables: [
      "CREATE TABLE blobs (digest bytea PRIMARY KEY, object_key text NOT NULL UNIQUE, size_bytes bigint, created_at timestamptz NOT NULL)",
      "CREATE TABLE manifests (id serial, digest bytea NOT NULL REFERENCES blobs)",
      "CREATE INDEX ON manifests (digest)",
      "CREATE TABLE layers (ref bytea, salt bytea, as_text text)",
      "INSERT INTO blobs SELECT sha256(n::text::bytea), 'some/key/' || n, 1, timestamptz 'epoch' FROM generate_series(1, 5) n",
      "INSERT INTO manifests (digest) SELECT sha256('1'::bytea)",
      `INSERT INTO layers SELECT sha256('3'::bytea), sha256('salt'::bytea), 'sha256:' || ${hex("4")}`
    ],
    suspects: ["public.layers.ref", "public.layers.as_text"]
  }
}

export const catalogues = (): void => {
  for (const [what, { names, suspects, tables }] of Object.entries(all)) {
    it.effect(`are ${suspects.length === 0 ? "not found in" : "found in"} a catalogue like ${what}`, () =>
      Effect.gen(function* () {
        const s = yield* scene(tables, names)
        const report = yield* s.sweep()
        assert.deepStrictEqual(suspectsIn(report), suspects, refusalOf(report))
        assert.strictEqual(report.outcome, suspects.length === 0 ? "complete" : "refused")
        const declared = yield* s.sweep({ dryRun: true, notReferences: suspects })
        assert.strictEqual(refusalOf(declared), "complete")
        // Each statement works when it is pasted, also where the table already has rows.
        yield* s.run(...fixesIn(refusalOf(report)))
      })
    )
  }
}
