-- oldest program: 1
-- Our own statements find rows by their keys, whatever the statistics say. With PostgreSQL's usual target autovacuum's ANALYZE sorts 30,000
-- rows of 40 columns each time a table has grown by a tenth: each minute most of a second of a core, while the tables are young. A tenth of
-- that is enough for people's own queries; whoever wants more may set it higher from now on.

-- Anybody may call it, with no more rights than his own: who owns make_partitions may be somebody else than who takes this step.
CREATE FUNCTION userstream.make_analyze_light(relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE (
        SELECT format('ALTER TABLE %s %s', relation, string_agg(format('ALTER COLUMN %I SET STATISTICS 10', attname), ', '))
        FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped
    );
END $$;

-- Those that grow; of a table in parts all that there are.
SELECT userstream.make_analyze_light(relation)
FROM unnest(ARRAY['userstream.orders', 'userstream.fills', 'userstream.movements', 'userstream.account_events']::regclass[]) AS relation;

CREATE OR REPLACE FUNCTION userstream.make_partitions(times bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    began timestamp;
    parent text;
    part text;
BEGIN
    FOR began IN
        SELECT DISTINCT date_trunc('month', to_timestamp(told / 1000) AT TIME ZONE 'UTC')
        FROM unnest(times) AS told WHERE told >= 0 AND told < 4102444800000
    LOOP
        FOREACH parent IN ARRAY ARRAY['fills', 'account_events'] LOOP
            part := parent || to_char(began, '_YYYY_MM');
            CONTINUE WHEN to_regclass('userstream.' || part) IS NOT NULL;
            PERFORM pg_advisory_xact_lock(8463219774521934);
            CONTINUE WHEN to_regclass('userstream.' || part) IS NOT NULL;
            EXECUTE format('CREATE TABLE userstream.%I (LIKE userstream.%I INCLUDING ALL)', part, parent);
            PERFORM userstream.make_analyze_light(to_regclass('userstream.' || part));
            EXECUTE format(
                'ALTER TABLE userstream.%I ATTACH PARTITION userstream.%I FOR VALUES FROM (%s) TO (%s)', parent, part,
                (extract(epoch FROM began) * 1000)::bigint, (extract(epoch FROM began + interval '1 month') * 1000)::bigint
            );
        END LOOP;
    END LOOP;
END $$;
