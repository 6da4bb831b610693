-- Whose the schema is, how new it is, and bringing it up to date.

-- One node at a time; the others wait here, and then find nothing left to do.
-- name: lock
SELECT pg_advisory_lock(8463219774521933);

-- name: unlock
SELECT pg_advisory_unlock(8463219774521933);

-- name: find_owner
SELECT to_regnamespace('userstream') IS NOT NULL AS has_schema, to_regclass('userstream.migrations') IS NOT NULL AS is_ours;

-- name: create_home
CREATE SCHEMA userstream;
CREATE TABLE userstream.migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    oldest_program integer NOT NULL,
    applied_time timestamptz NOT NULL DEFAULT now()
);

-- name: read_form
SELECT coalesce(max(number), 0) AS number, coalesce(max(oldest_program), 0) AS oldest_program FROM userstream.migrations;

-- name: note
INSERT INTO userstream.migrations (number, name, oldest_program) VALUES ($1, $2, $3);

-- name: find_missing_roles
SELECT told AS role FROM unnest(ARRAY['userstream_reader', 'userstream_writer']) AS told
WHERE to_regrole(told) IS NULL ORDER BY told;

-- name: find_missing_tables
SELECT told.name FROM unnest($1::text[]) WITH ORDINALITY AS told (name, place)
WHERE to_regclass('userstream.' || told.name) IS NULL ORDER BY told.place;

-- name: read_cursors
SELECT journal, reader, position FROM userstream.cursors ORDER BY journal, reader;

-- name: read_size
SELECT sum(pg_total_relation_size(pg_class.oid))::bigint
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
WHERE pg_namespace.nspname = 'userstream' AND pg_class.relkind = 'r';
