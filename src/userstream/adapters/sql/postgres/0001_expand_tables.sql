-- oldest program: 1
-- The tables that are made from the journals. Amounts are exact decimals with the digits they came with, times are integer milliseconds of
-- the venue's clock (received_time: of ours). `journal` names the journal a row came from, `arrival` is the order in which rows came to be.

CREATE SEQUENCE userstream.arrivals;

-- How far each journal's readers have come; written in the same transaction as their results.
CREATE TABLE userstream.cursors (
    journal text COLLATE "C" NOT NULL,
    reader text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (journal, reader)
);

CREATE TABLE userstream.orders (
    account text COLLATE "C" NOT NULL,
    venue text COLLATE "C" NOT NULL,
    symbol text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    conditional boolean NOT NULL,
    client_order_id text NOT NULL,
    side text NOT NULL,
    position_side text COLLATE "C" NOT NULL,
    order_type text NOT NULL,
    original_type text NOT NULL,
    time_in_force text NOT NULL,
    status text NOT NULL,
    execution_type text NOT NULL,
    price numeric NOT NULL,
    stop_price numeric,
    average_price numeric,
    quantity numeric NOT NULL,
    filled_quantity numeric NOT NULL,
    reduce_only boolean NOT NULL,
    post_only boolean NOT NULL,
    close_position boolean NOT NULL,
    origin text NOT NULL,
    transaction_time bigint NOT NULL,
    created_time bigint NOT NULL,
    good_till_time bigint NOT NULL,
    reason text NOT NULL,
    triggered_order_id text NOT NULL,
    activation_price numeric,
    callback_rate numeric,
    activated boolean,
    self_trade_prevention text NOT NULL,
    working_type text NOT NULL,
    amendment_id text NOT NULL,
    order_list_id text NOT NULL,
    iceberg_quantity numeric,
    prevented_quantity numeric,
    prevented_match_id text NOT NULL,
    event_time bigint NOT NULL,
    received_time bigint NOT NULL,
    source text NOT NULL,
    sequence bigint NOT NULL,
    journal text COLLATE "C" NOT NULL,
    arrival bigint NOT NULL DEFAULT nextval('userstream.arrivals'),
    PRIMARY KEY (account, symbol, order_id, conditional)
);

CREATE TABLE userstream.fills (
    account text COLLATE "C" NOT NULL,
    venue text COLLATE "C" NOT NULL,
    symbol text COLLATE "C" NOT NULL,
    trade_id text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    client_order_id text,
    side text,
    position_side text COLLATE "C",
    price numeric,
    quantity numeric,
    fee numeric,
    fee_asset text,
    maker boolean,
    realized_pnl numeric,
    origin text,
    transaction_time bigint NOT NULL,
    event_time bigint NOT NULL,
    received_time bigint NOT NULL,
    source text NOT NULL,
    sequence bigint NOT NULL,
    journal text COLLATE "C" NOT NULL,
    arrival bigint NOT NULL DEFAULT nextval('userstream.arrivals'),
    UNIQUE (order_id, trade_id, symbol, venue, account, transaction_time)
) PARTITION BY RANGE (transaction_time);

CREATE TABLE userstream.positions (
    account text COLLATE "C" NOT NULL,
    venue text COLLATE "C" NOT NULL,
    symbol text COLLATE "C" NOT NULL,
    position_side text COLLATE "C" NOT NULL,
    amount numeric NOT NULL,
    entry_price numeric NOT NULL,
    break_even_price numeric,
    unrealized_pnl numeric,
    realized_pnl numeric,
    margin_type text,
    isolated_wallet numeric,
    mark_price numeric,
    liquidation_price numeric,
    leverage bigint,
    reason text NOT NULL,
    transaction_time bigint NOT NULL,
    event_time bigint NOT NULL,
    received_time bigint NOT NULL,
    source text NOT NULL,
    sequence bigint NOT NULL,
    journal text COLLATE "C" NOT NULL,
    PRIMARY KEY (account, symbol, position_side)
);

CREATE TABLE userstream.balances (
    account text COLLATE "C" NOT NULL,
    venue text COLLATE "C" NOT NULL,
    asset text COLLATE "C" NOT NULL,
    total numeric NOT NULL,
    cross_total numeric,
    available numeric,
    reason text NOT NULL,
    transaction_time bigint NOT NULL,
    event_time bigint NOT NULL,
    received_time bigint NOT NULL,
    source text NOT NULL,
    sequence bigint NOT NULL,
    journal text COLLATE "C" NOT NULL,
    PRIMARY KEY (account, asset)
);

CREATE TABLE userstream.movements (
    account text COLLATE "C" NOT NULL,
    venue text COLLATE "C" NOT NULL,
    movement text COLLATE "C" NOT NULL,
    asset text COLLATE "C" NOT NULL,
    delta numeric NOT NULL,
    reason text NOT NULL,
    symbol text COLLATE "C",
    movement_id text NOT NULL,
    transaction_time bigint NOT NULL,
    event_time bigint NOT NULL,
    received_time bigint NOT NULL,
    source text NOT NULL,
    sequence bigint NOT NULL,
    journal text COLLATE "C" NOT NULL,
    arrival bigint NOT NULL DEFAULT nextval('userstream.arrivals'),
    PRIMARY KEY (account, movement, journal)
);

CREATE TABLE userstream.margin_calls (
    account text COLLATE "C" NOT NULL,
    venue text COLLATE "C" NOT NULL,
    symbol text COLLATE "C" NOT NULL,
    position_side text COLLATE "C" NOT NULL,
    amount numeric NOT NULL,
    margin_type text NOT NULL,
    isolated_wallet numeric,
    mark_price numeric,
    unrealized_pnl numeric,
    maintenance_margin numeric,
    cross_wallet numeric,
    margin_level numeric,
    status text NOT NULL,
    transaction_time bigint NOT NULL,
    event_time bigint NOT NULL,
    received_time bigint NOT NULL,
    source text NOT NULL,
    sequence bigint NOT NULL,
    journal text COLLATE "C" NOT NULL,
    arrival bigint NOT NULL DEFAULT nextval('userstream.arrivals'),
    PRIMARY KEY (account, journal, sequence)
);

CREATE TABLE userstream.account_events (
    account text COLLATE "C" NOT NULL,
    venue text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    data json NOT NULL,
    event_time bigint NOT NULL,
    received_time bigint NOT NULL,
    source text NOT NULL,
    sequence bigint NOT NULL,
    journal text COLLATE "C" NOT NULL,
    arrival bigint NOT NULL DEFAULT nextval('userstream.arrivals'),
    UNIQUE (account, journal, sequence, event_time)
) PARTITION BY RANGE (event_time);

-- The completeness certificate: spans of venue time [since, until) that do not overlap; until is NULL while a span is growing.
CREATE TABLE userstream.coverage (
    account text COLLATE "C" NOT NULL,
    since bigint NOT NULL,
    until bigint,
    state text NOT NULL CHECK (state IN ('PROVEN', 'STREAM_ONLY', 'KNOWN_GAP', 'REPAIRED')),
    PRIMARY KEY (account, since)
);

-- The last event that the certificate of an account has taken in, and the journal that it came from.
CREATE TABLE userstream.coverage_marks (
    account text COLLATE "C" PRIMARY KEY,
    journal text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL
);

CREATE INDEX fills_account_time ON userstream.fills (account, transaction_time DESC);
CREATE INDEX fills_time ON userstream.fills USING brin (transaction_time);
CREATE INDEX account_events_account_time ON userstream.account_events (account, event_time DESC);
CREATE INDEX account_events_time ON userstream.account_events USING brin (event_time);
CREATE INDEX orders_account_time ON userstream.orders (account, created_time DESC);
CREATE INDEX movements_account_time ON userstream.movements (account, transaction_time DESC);
CREATE INDEX movements_time ON userstream.movements USING brin (transaction_time);

-- What lies before 1970 or after 2099 is a slip of somebody's clock; it has a place too, so that no row is ever refused.
CREATE TABLE userstream.fills_before PARTITION OF userstream.fills FOR VALUES FROM (MINVALUE) TO (0);
CREATE TABLE userstream.fills_beyond PARTITION OF userstream.fills FOR VALUES FROM (4102444800000) TO (MAXVALUE);
CREATE TABLE userstream.account_events_before PARTITION OF userstream.account_events FOR VALUES FROM (MINVALUE) TO (0);
CREATE TABLE userstream.account_events_beyond PARTITION OF userstream.account_events FOR VALUES FROM (4102444800000) TO (MAXVALUE);

-- Makes the partitions of the months (UTC) that hold these times (ms), where they are missing. With the rights of the tables' owner: only an
-- owner may add a partition, and who writes rows shall own nothing. Filled aside and then attached, so that readers are not held up.
CREATE FUNCTION userstream.make_partitions(times bigint[]) RETURNS void
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
            EXECUTE format(
                'ALTER TABLE userstream.%I ATTACH PARTITION userstream.%I FOR VALUES FROM (%s) TO (%s)', parent, part,
                (extract(epoch FROM began) * 1000)::bigint, (extract(epoch FROM began + interval '1 month') * 1000)::bigint
            );
        END LOOP;
    END LOOP;
END $$;

REVOKE EXECUTE ON FUNCTION userstream.make_partitions(bigint[]) FROM PUBLIC;
