-- The role of "artifact-gc run" and "artifact-gc sweep". Run this after migrate, as the owner of the tables or a superuser.
-- It inserts no blob. To give it to a registry, too: registry.sql.
CREATE ROLE gc_collector LOGIN;
GRANT USAGE ON SCHEMA public, artifact_gc TO gc_collector;

-- UPDATE: PostgreSQL demands it for locking a row.
GRANT SELECT, UPDATE, DELETE ON public.blobs TO gc_collector;
-- Every table of yours that refers to blobs, for example:
-- GRANT SELECT ON public.attachments TO gc_collector;

GRANT SELECT ON artifact_gc.migrations, artifact_gc.installation TO gc_collector;
GRANT SELECT, UPDATE ON artifact_gc.scans, artifact_gc.reference_checks TO gc_collector;
GRANT SELECT, DELETE ON artifact_gc.candidates, artifact_gc.suspects, artifact_gc.upload_chunks TO gc_collector;
GRANT SELECT, UPDATE, DELETE ON artifact_gc.upload_sessions TO gc_collector;
GRANT SELECT, INSERT, UPDATE ON artifact_gc.listings, artifact_gc.binding, artifact_gc.breakers, artifact_gc.last_audit TO gc_collector;
GRANT SELECT, INSERT, UPDATE, DELETE ON artifact_gc.orphans, artifact_gc.journal, artifact_gc.intents, artifact_gc.pins,
  artifact_gc.listing_ranges, artifact_gc.breaker_history, artifact_gc.collectors, artifact_gc.control, artifact_gc.history,
  artifact_gc.reference_keys, artifact_gc.reference_sources, artifact_gc.tombstones, artifact_gc.buried_keys TO gc_collector;
