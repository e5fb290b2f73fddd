-- The role of "artifact-gc serve", which is the registry and collects. Run this after collector.sql and "migrate --registry".
CREATE ROLE gc_registry LOGIN;
GRANT gc_collector TO gc_registry;
GRANT USAGE ON SCHEMA artifact_registry TO gc_collector, gc_registry;

-- A collector beside the registry deletes untagged manifests. With retention rules it removes tags.
GRANT SELECT ON artifact_registry.registry_migrations TO gc_collector;
GRANT SELECT, UPDATE, DELETE ON artifact_registry.manifests, artifact_registry.tags TO gc_collector;
GRANT SELECT, DELETE ON artifact_registry.manifest_references TO gc_collector;
GRANT SELECT, INSERT, UPDATE ON artifact_registry.retention TO gc_collector;
GRANT SELECT, INSERT, UPDATE, DELETE ON artifact_registry.retention_repositories TO gc_collector;

GRANT INSERT ON public.blobs TO gc_registry;
GRANT INSERT ON artifact_gc.upload_sessions TO gc_registry;
GRANT INSERT, UPDATE ON artifact_gc.upload_chunks TO gc_registry;
GRANT INSERT ON artifact_registry.manifests, artifact_registry.manifest_references TO gc_registry;
GRANT INSERT ON artifact_registry.tags TO gc_registry;
-- Only with REGISTRY_URL: the key of the tokens.
GRANT SELECT, INSERT ON artifact_registry.keys TO gc_registry;
