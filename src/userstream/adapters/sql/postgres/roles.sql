-- The two roles that own nothing, and what each may do. Rights are given table by table and never in advance: a table that is not named here,
-- such as one with credentials, is closed to both. Run after every migration; changes nothing where all is in place.

-- name: create_role_userstream_reader
CREATE ROLE userstream_reader NOLOGIN;

-- name: create_role_userstream_writer
CREATE ROLE userstream_writer NOLOGIN;

-- name: grant_reader
GRANT USAGE ON SCHEMA userstream TO userstream_reader;
GRANT SELECT ON userstream.orders, userstream.fills, userstream.positions, userstream.balances, userstream.movements,
    userstream.margin_calls, userstream.account_events, userstream.coverage, userstream.cursors, userstream.migrations
TO userstream_reader;

-- name: grant_writer
GRANT USAGE ON SCHEMA userstream TO userstream_writer;
GRANT USAGE ON SEQUENCE userstream.arrivals TO userstream_writer;
GRANT EXECUTE ON FUNCTION userstream.make_partitions(bigint[]) TO userstream_writer;
GRANT SELECT, INSERT, UPDATE ON userstream.orders, userstream.fills, userstream.positions, userstream.balances, userstream.cursors,
    userstream.coverage_marks
TO userstream_writer;
GRANT SELECT, INSERT ON userstream.movements, userstream.margin_calls, userstream.account_events TO userstream_writer;
GRANT SELECT, INSERT, DELETE ON userstream.coverage TO userstream_writer;
GRANT SELECT ON userstream.migrations TO userstream_writer;
