-- What a batch of events does to the tables. Each statement takes many rows at once, in the order of the journal. A row of a journal never
-- replaces a later one of the same journal; of two journals (an account that moved) the one that heard last is right.

-- name: add_orders
INSERT INTO userstream.orders AS known (
    account, venue, symbol, order_id, conditional, client_order_id, side, position_side, order_type, original_type, time_in_force,
    status, execution_type, price, stop_price, average_price, quantity, filled_quantity, reduce_only, post_only, close_position,
    origin, transaction_time, created_time, good_till_time, reason, triggered_order_id, activation_price, callback_rate,
    activated, self_trade_prevention, working_type, amendment_id, order_list_id, iceberg_quantity,
    prevented_quantity, prevented_match_id, event_time, received_time, source, sequence, journal
)
SELECT
    told.account, told.venue, told.symbol, told.order_id, told.conditional::boolean, told.client_order_id, told.side,
    told.position_side, told.order_type, told.original_type, told.time_in_force, told.status, told.execution_type,
    told.price::numeric, told.stop_price::numeric, told.average_price::numeric, told.quantity::numeric,
    told.filled_quantity::numeric, told.reduce_only::boolean, told.post_only::boolean, told.close_position::boolean, told.origin,
    told.transaction_time, told.created_time, told.good_till_time, told.reason, told.triggered_order_id,
    told.activation_price::numeric, told.callback_rate::numeric, told.activated::boolean, told.self_trade_prevention,
    told.working_type, told.amendment_id, told.order_list_id, told.iceberg_quantity::numeric, told.prevented_quantity::numeric,
    told.prevented_match_id, told.event_time, told.received_time, told.source, told.sequence, $2
FROM unnest($1::userstream.told_orders[]) WITH ORDINALITY AS told (
    account, venue, symbol, order_id, conditional, client_order_id, side, position_side, order_type, original_type, time_in_force,
    status, execution_type, price, stop_price, average_price, quantity, filled_quantity, reduce_only, post_only, close_position,
    origin, transaction_time, created_time, good_till_time, reason, triggered_order_id, activation_price, callback_rate,
    activated, self_trade_prevention, working_type, amendment_id, order_list_id, iceberg_quantity,
    prevented_quantity, prevented_match_id, event_time, received_time, source, sequence, place
)
ORDER BY told.place
ON CONFLICT (account, symbol, order_id, conditional) DO UPDATE SET
    venue = excluded.venue, client_order_id = excluded.client_order_id, side = excluded.side,
    position_side = excluded.position_side, order_type = excluded.order_type, original_type = excluded.original_type,
    time_in_force = excluded.time_in_force, status = excluded.status, execution_type = excluded.execution_type,
    price = excluded.price, stop_price = excluded.stop_price, average_price = excluded.average_price,
    quantity = excluded.quantity, filled_quantity = excluded.filled_quantity, reduce_only = excluded.reduce_only,
    post_only = excluded.post_only, close_position = excluded.close_position, origin = excluded.origin,
    transaction_time = excluded.transaction_time, created_time = excluded.created_time, good_till_time = excluded.good_till_time,
    reason = excluded.reason, triggered_order_id = excluded.triggered_order_id, activation_price = excluded.activation_price,
    callback_rate = excluded.callback_rate, activated = excluded.activated,
    self_trade_prevention = excluded.self_trade_prevention, working_type = excluded.working_type,
    amendment_id = excluded.amendment_id, order_list_id = excluded.order_list_id,
    iceberg_quantity = excluded.iceberg_quantity, prevented_quantity = excluded.prevented_quantity,
    prevented_match_id = excluded.prevented_match_id, event_time = excluded.event_time, received_time = excluded.received_time,
    source = excluded.source, sequence = excluded.sequence, journal = excluded.journal
WHERE CASE WHEN excluded.journal = known.journal THEN excluded.sequence > known.sequence
      ELSE excluded.received_time >= known.received_time END;

-- name: add_fills
-- An account that is no bare column keeps the planner from reading all that the account did in those days: the ids lead to the one fill.
-- $3 and $4 enclose all times that can be met: parts of other months are then left out before anything is opened.
INSERT INTO userstream.fills AS known (
    account, venue, symbol, trade_id, order_id, client_order_id, side, position_side, price, quantity, fee, fee_asset, maker,
    realized_pnl, origin, transaction_time, event_time, received_time, source, sequence, journal
)
SELECT
    told.account, told.venue, told.symbol, told.trade_id, told.order_id, told.client_order_id, told.side, told.position_side,
    told.price::numeric, told.quantity::numeric, told.fee::numeric, told.fee_asset, told.maker::boolean,
    told.realized_pnl::numeric, told.origin, coalesce(stored.transaction_time, told.transaction_time), told.event_time,
    told.received_time, told.source, told.sequence, $2
FROM unnest($1::userstream.told_fills[]) WITH ORDINALITY AS told (
    account, venue, symbol, trade_id, order_id, client_order_id, side, position_side, price, quantity, fee, fee_asset, maker,
    realized_pnl, origin, transaction_time, event_time, received_time, source, sequence, place
)
LEFT JOIN LATERAL (
    SELECT min(fills.transaction_time) AS transaction_time FROM userstream.fills
    WHERE fills.account || '' = told.account AND fills.venue = told.venue AND fills.symbol = told.symbol
      AND fills.trade_id = told.trade_id AND fills.order_id = told.order_id
      AND fills.transaction_time BETWEEN told.transaction_time - 604800000 AND told.transaction_time + 604800000
      AND fills.transaction_time BETWEEN $3::bigint AND $4::bigint
) AS stored ON true
ORDER BY told.place
ON CONFLICT (account, venue, symbol, trade_id, order_id, transaction_time) DO UPDATE SET
    client_order_id = coalesce(known.client_order_id, excluded.client_order_id), side = coalesce(known.side, excluded.side),
    position_side = coalesce(known.position_side, excluded.position_side), price = coalesce(known.price, excluded.price),
    quantity = coalesce(known.quantity, excluded.quantity), fee = coalesce(known.fee, excluded.fee),
    fee_asset = coalesce(known.fee_asset, excluded.fee_asset), maker = coalesce(known.maker, excluded.maker),
    realized_pnl = coalesce(known.realized_pnl, excluded.realized_pnl), origin = coalesce(known.origin, excluded.origin)
WHERE (known.client_order_id IS NULL AND excluded.client_order_id IS NOT NULL)
   OR (known.side IS NULL AND excluded.side IS NOT NULL)
   OR (known.position_side IS NULL AND excluded.position_side IS NOT NULL)
   OR (known.price IS NULL AND excluded.price IS NOT NULL)
   OR (known.quantity IS NULL AND excluded.quantity IS NOT NULL)
   OR (known.fee IS NULL AND excluded.fee IS NOT NULL)
   OR (known.fee_asset IS NULL AND excluded.fee_asset IS NOT NULL)
   OR (known.maker IS NULL AND excluded.maker IS NOT NULL)
   OR (known.realized_pnl IS NULL AND excluded.realized_pnl IS NOT NULL)
   OR (known.origin IS NULL AND excluded.origin IS NOT NULL);

-- name: add_positions
INSERT INTO userstream.positions AS known (
    account, venue, symbol, position_side, amount, entry_price, break_even_price, unrealized_pnl, realized_pnl, margin_type,
    isolated_wallet, mark_price, liquidation_price, leverage, reason, transaction_time, event_time, received_time, source,
    sequence, journal
)
SELECT
    told.account, told.venue, told.symbol, told.position_side, told.amount::numeric, told.entry_price::numeric,
    told.break_even_price::numeric, told.unrealized_pnl::numeric, told.realized_pnl::numeric, told.margin_type,
    told.isolated_wallet::numeric, told.mark_price::numeric, told.liquidation_price::numeric, told.leverage, told.reason,
    told.transaction_time, told.event_time, told.received_time, told.source, told.sequence, $2
FROM unnest($1::userstream.told_positions[]) WITH ORDINALITY AS told (
    account, venue, symbol, position_side, amount, entry_price, break_even_price, unrealized_pnl, realized_pnl, margin_type,
    isolated_wallet, mark_price, liquidation_price, leverage, reason, transaction_time, event_time, received_time, source,
    sequence, place
)
ORDER BY told.place
ON CONFLICT (account, symbol, position_side) DO UPDATE SET
    venue = excluded.venue, amount = excluded.amount, entry_price = excluded.entry_price,
    break_even_price = excluded.break_even_price, unrealized_pnl = excluded.unrealized_pnl, realized_pnl = excluded.realized_pnl,
    margin_type = excluded.margin_type, isolated_wallet = excluded.isolated_wallet, mark_price = excluded.mark_price,
    liquidation_price = excluded.liquidation_price, leverage = excluded.leverage, reason = excluded.reason,
    transaction_time = excluded.transaction_time, event_time = excluded.event_time, received_time = excluded.received_time,
    source = excluded.source, sequence = excluded.sequence, journal = excluded.journal
WHERE CASE WHEN excluded.journal = known.journal THEN excluded.sequence > known.sequence
      ELSE excluded.received_time >= known.received_time END;

-- name: add_balances
INSERT INTO userstream.balances AS known (
    account, venue, asset, total, cross_total, available, reason, transaction_time, event_time, received_time, source, sequence,
    journal
)
SELECT
    told.account, told.venue, told.asset, told.total::numeric, told.cross_total::numeric, told.available::numeric, told.reason,
    told.transaction_time, told.event_time, told.received_time, told.source, told.sequence, $2
FROM unnest($1::userstream.told_balances[]) WITH ORDINALITY AS told (
    account, venue, asset, total, cross_total, available, reason, transaction_time, event_time, received_time, source, sequence,
    place
)
ORDER BY told.place
ON CONFLICT (account, asset) DO UPDATE SET
    venue = excluded.venue, total = excluded.total, cross_total = excluded.cross_total, available = excluded.available,
    reason = excluded.reason, transaction_time = excluded.transaction_time, event_time = excluded.event_time,
    received_time = excluded.received_time, source = excluded.source, sequence = excluded.sequence, journal = excluded.journal
WHERE CASE WHEN excluded.journal = known.journal THEN excluded.sequence > known.sequence
      ELSE excluded.received_time >= known.received_time END;

-- name: add_movements
INSERT INTO userstream.movements AS known (
    account, venue, movement, asset, delta, reason, symbol, movement_id, transaction_time, event_time, received_time, source,
    sequence, journal
)
SELECT
    told.account, told.venue, told.movement, told.asset, told.delta::numeric, told.reason, told.symbol, told.movement_id,
    told.transaction_time, told.event_time, told.received_time, told.source, told.sequence,
    CASE told.movement_id WHEN '' THEN $2 ELSE '' END
FROM unnest($1::userstream.told_movements[]) WITH ORDINALITY AS told (
    account, venue, movement, asset, delta, reason, symbol, movement_id, transaction_time, event_time, received_time, source,
    sequence, place
)
ORDER BY told.place
ON CONFLICT DO NOTHING;

-- name: add_margin_calls
INSERT INTO userstream.margin_calls AS known (
    account, venue, symbol, position_side, amount, margin_type, isolated_wallet, mark_price, unrealized_pnl, maintenance_margin,
    cross_wallet, margin_level, status, transaction_time, event_time, received_time, source, sequence, journal
)
SELECT
    told.account, told.venue, told.symbol, told.position_side, told.amount::numeric, told.margin_type,
    told.isolated_wallet::numeric, told.mark_price::numeric, told.unrealized_pnl::numeric, told.maintenance_margin::numeric,
    told.cross_wallet::numeric, told.margin_level::numeric, told.status, told.transaction_time, told.event_time,
    told.received_time, told.source, told.sequence, $2
FROM unnest($1::userstream.told_margin_calls[]) WITH ORDINALITY AS told (
    account, venue, symbol, position_side, amount, margin_type, isolated_wallet, mark_price, unrealized_pnl, maintenance_margin,
    cross_wallet, margin_level, status, transaction_time, event_time, received_time, source, sequence, place
)
ORDER BY told.place
ON CONFLICT DO NOTHING;

-- name: add_account_events
INSERT INTO userstream.account_events AS known (
    account, venue, kind, data, event_time, received_time, source, sequence, journal
)
SELECT
    told.account, told.venue, told.kind, told.data::json, told.event_time, told.received_time, told.source, told.sequence, $2
FROM unnest($1::userstream.told_account_events[]) WITH ORDINALITY AS told (
    account, venue, kind, data, event_time, received_time, source, sequence, place
)
ORDER BY told.place
ON CONFLICT DO NOTHING;

-- name: open_cursor
INSERT INTO userstream.cursors (journal, reader, position) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING;

-- name: read_cursor
SELECT position FROM userstream.cursors WHERE journal = $1 AND reader = $2;

-- name: continue_cursor
INSERT INTO userstream.cursors (journal, reader, position) VALUES ($1, $2, $3);

-- name: find_known
-- The last of these rows that this journal has brought already. What the venue names by an id needs no question: it stands there once.
SELECT coalesce(max(told.place), 0)
FROM unnest($2::text[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS told (account, sequence, received_time, place)
WHERE EXISTS (
    SELECT FROM userstream.account_events AS known
    WHERE known.account = told.account AND known.journal = $1 AND known.sequence = told.sequence AND known.received_time = told.received_time
) OR EXISTS (
    SELECT FROM userstream.movements AS known
    WHERE known.account = told.account AND known.journal = $1 AND known.movement = '#' || told.sequence
      AND known.received_time = told.received_time
) OR EXISTS (
    SELECT FROM userstream.margin_calls AS known
    WHERE known.account = told.account AND known.journal = $1 AND known.sequence = told.sequence AND known.received_time = told.received_time
);

-- name: move_cursor
-- Whoever else writes for this reader, perhaps we ourselves on a connection that was given up, is waited for here. A reader that is not
-- where it was thought to be has no row to move, and the division by their number undoes all that belongs to this statement.
moved AS (
    UPDATE userstream.cursors SET position = $4 WHERE journal = $1 AND reader = $2 AND position = $3 RETURNING position
)
SELECT 1 / count(*) FROM moved;

-- name: make_partitions
SELECT userstream.make_partitions($1::bigint[]);

-- name: read_coverage
SELECT told.account, marks.journal, marks.sequence, spans.since, spans.until, spans.state
FROM unnest($1::text[]) AS told (account)
LEFT JOIN userstream.coverage_marks AS marks ON marks.account = told.account
LEFT JOIN userstream.coverage AS spans ON spans.account = told.account
ORDER BY told.account, spans.since;

-- name: move_coverage
-- Nothing was locked when it was read. A mark that is not what it was then is not moved here, and whoever counts the marks undoes all. A span
-- may go and come again with another end: those that go are gone before the first one comes.
spans_gone AS (
    DELETE FROM userstream.coverage USING unnest($2::text[], $3::bigint[]) AS told (account, since)
    WHERE coverage.account = told.account AND coverage.since = told.since
    RETURNING coverage.since
),
spans_added AS (
    INSERT INTO userstream.coverage (account, since, until, state)
    SELECT told.account, told.since, told.until, told.state
    FROM unnest($4::text[], $5::bigint[], $6::bigint[], $7::text[]) AS told (account, since, until, state)
    WHERE (SELECT count(*) FROM spans_gone) >= 0
),
marks_moved AS (
    UPDATE userstream.coverage_marks AS known SET journal = $1, sequence = told.sequence
    FROM unnest($8::text[], $9::bigint[], $10::text[], $11::bigint[]) AS told (account, sequence, known_journal, known_sequence)
    WHERE known.account = told.account AND known.journal = told.known_journal AND known.sequence = told.known_sequence
    RETURNING known.account
),
marks_made AS (
    INSERT INTO userstream.coverage_marks (account, sequence, journal)
    SELECT told.account, told.sequence, $1
    FROM unnest($8::text[], $9::bigint[], $10::text[]) AS told (account, sequence, known_journal)
    WHERE told.known_journal IS NULL
    ON CONFLICT DO NOTHING
    RETURNING account
);

-- name: count_marks
WHERE (SELECT count(*) FROM marks_moved) + (SELECT count(*) FROM marks_made) = cardinality($8::text[]);
