-- The role that runs "artifact-gc migrate". Run this as the owner of the database, in that database, before the first migrate.
-- It owns the collector's tables, and no collector needs it afterwards.
CREATE ROLE gc_migrate LOGIN;
DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO gc_migrate', current_database()); END $$;

-- With --create-catalog: the catalogue's tables are made in this schema.
GRANT USAGE, CREATE ON SCHEMA public TO gc_migrate;

-- Beside a catalogue of your own, in place of CREATE above: the schema guard at the end reads, and a registry's tables refer to blobs.
-- GRANT USAGE ON SCHEMA public TO gc_migrate;
-- GRANT SELECT, REFERENCES ON public.blobs TO gc_migrate;
-- With --watch-references or --guard-unannounced-writers, on blobs and on every table that refers to it:
-- GRANT TRIGGER ON public.blobs TO gc_migrate;
-- Functions of the guard run with the rights of this role, so it needs those of the collector.
-- Without them migrate refuses to install the guard. Run this after collector.sql:
-- GRANT gc_collector TO gc_migrate;
