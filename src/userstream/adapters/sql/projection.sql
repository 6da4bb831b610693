-- What a batch of events does to the tables. Each statement takes many rows at once, in the order of the journal, and is one step of the
-- database: the interpreter lock is let go and taken back once a statement, not once a row.

-- name: add_orders
INSERT INTO orders (
    account, venue, symbol, order_id, conditional, client_order_id, side, position_side, order_type, original_type, time_in_force,
    status, execution_type, price, stop_price, average_price, quantity, filled_quantity, reduce_only, post_only, close_position,
    origin, transaction_time, created_time, good_till_time, reason, triggered_order_id, activation_price, callback_rate, activated,
    self_trade_prevention, working_type, amendment_id, order_list_id, iceberg_quantity, prevented_quantity, prevented_match_id,
    event_time, received_time, source, sequence
)
VALUES {rows}
ON CONFLICT (account, symbol, order_id, conditional) DO UPDATE SET
    venue = excluded.venue, client_order_id = excluded.client_order_id, side = excluded.side, position_side = excluded.position_side,
    order_type = excluded.order_type, original_type = excluded.original_type, time_in_force = excluded.time_in_force,
    status = excluded.status, execution_type = excluded.execution_type, price = excluded.price, stop_price = excluded.stop_price,
    average_price = excluded.average_price, quantity = excluded.quantity, filled_quantity = excluded.filled_quantity,
    reduce_only = excluded.reduce_only, post_only = excluded.post_only, close_position = excluded.close_position,
    origin = excluded.origin, transaction_time = excluded.transaction_time, created_time = excluded.created_time,
    good_till_time = excluded.good_till_time, reason = excluded.reason, triggered_order_id = excluded.triggered_order_id,
    activation_price = excluded.activation_price, callback_rate = excluded.callback_rate, activated = excluded.activated,
    self_trade_prevention = excluded.self_trade_prevention, working_type = excluded.working_type, amendment_id = excluded.amendment_id,
    order_list_id = excluded.order_list_id, iceberg_quantity = excluded.iceberg_quantity,
    prevented_quantity = excluded.prevented_quantity, prevented_match_id = excluded.prevented_match_id,
    event_time = excluded.event_time, received_time = excluded.received_time, source = excluded.source, sequence = excluded.sequence
WHERE excluded.sequence > orders.sequence;

-- name: add_fills
INSERT INTO fills (
    account, venue, symbol, trade_id, order_id, client_order_id, side, position_side, price, quantity, fee, fee_asset, maker,
    realized_pnl, origin, transaction_time, event_time, received_time, source, sequence
)
VALUES {rows}
ON CONFLICT (account, venue, symbol, trade_id, order_id) DO UPDATE SET
    client_order_id = coalesce(client_order_id, excluded.client_order_id), side = coalesce(side, excluded.side),
    position_side = coalesce(position_side, excluded.position_side), price = coalesce(price, excluded.price),
    quantity = coalesce(quantity, excluded.quantity), fee = coalesce(fee, excluded.fee),
    fee_asset = coalesce(fee_asset, excluded.fee_asset), maker = coalesce(maker, excluded.maker),
    realized_pnl = coalesce(realized_pnl, excluded.realized_pnl), origin = coalesce(origin, excluded.origin)
WHERE (client_order_id IS NULL AND excluded.client_order_id IS NOT NULL) OR (side IS NULL AND excluded.side IS NOT NULL)
   OR (position_side IS NULL AND excluded.position_side IS NOT NULL) OR (price IS NULL AND excluded.price IS NOT NULL)
   OR (quantity IS NULL AND excluded.quantity IS NOT NULL) OR (fee IS NULL AND excluded.fee IS NOT NULL)
   OR (fee_asset IS NULL AND excluded.fee_asset IS NOT NULL) OR (maker IS NULL AND excluded.maker IS NOT NULL)
   OR (realized_pnl IS NULL AND excluded.realized_pnl IS NOT NULL) OR (origin IS NULL AND excluded.origin IS NOT NULL);

-- name: add_positions
INSERT INTO positions (
    account, venue, symbol, position_side, amount, entry_price, break_even_price, unrealized_pnl, realized_pnl, margin_type,
    isolated_wallet, mark_price, liquidation_price, leverage, reason, transaction_time, event_time, received_time, source, sequence
)
VALUES {rows}
ON CONFLICT (account, symbol, position_side) DO UPDATE SET
    venue = excluded.venue, amount = excluded.amount, entry_price = excluded.entry_price, break_even_price = excluded.break_even_price,
    unrealized_pnl = excluded.unrealized_pnl, realized_pnl = excluded.realized_pnl, margin_type = excluded.margin_type,
    isolated_wallet = excluded.isolated_wallet, mark_price = excluded.mark_price, liquidation_price = excluded.liquidation_price,
    leverage = excluded.leverage, reason = excluded.reason, transaction_time = excluded.transaction_time,
    event_time = excluded.event_time, received_time = excluded.received_time, source = excluded.source, sequence = excluded.sequence
WHERE excluded.sequence > positions.sequence;

-- name: add_balances
INSERT INTO balances (
    account, venue, asset, total, cross_total, available, reason, transaction_time, event_time, received_time, source, sequence
)
VALUES {rows}
ON CONFLICT (account, asset) DO UPDATE SET
    venue = excluded.venue, total = excluded.total, cross_total = excluded.cross_total, available = excluded.available,
    reason = excluded.reason, transaction_time = excluded.transaction_time, event_time = excluded.event_time,
    received_time = excluded.received_time, source = excluded.source, sequence = excluded.sequence
WHERE excluded.sequence > balances.sequence;

-- name: add_movements
INSERT INTO movements (
    account, venue, movement, asset, delta, reason, symbol, movement_id, transaction_time, event_time, received_time, source, sequence
)
VALUES {rows}
ON CONFLICT DO NOTHING;

-- name: add_margin_calls
INSERT INTO margin_calls (
    account, venue, symbol, position_side, amount, margin_type, isolated_wallet, mark_price, unrealized_pnl, maintenance_margin,
    cross_wallet, margin_level, status, transaction_time, event_time, received_time, source, sequence
)
VALUES {rows}
ON CONFLICT DO NOTHING;

-- name: add_account_events
INSERT INTO account_events (account, venue, kind, data, event_time, received_time, source, sequence)
VALUES {rows}
ON CONFLICT DO NOTHING;

-- name: read_position
SELECT position FROM cursors WHERE reader = ?;

-- name: save_position
INSERT INTO cursors (reader, position) VALUES (?, ?)
ON CONFLICT (reader) DO UPDATE SET position = excluded.position WHERE excluded.position > cursors.position;

-- name: read_coverage
SELECT since, until, state FROM coverage WHERE account = ? ORDER BY since;

-- name: read_coverage_mark
SELECT sequence FROM coverage_marks WHERE account = ?;

-- name: clear_coverage
DELETE FROM coverage WHERE account = ?;

-- name: add_coverage
INSERT INTO coverage (account, since, until, state)
SELECT ?, value->>0, value->>1, value->>2 FROM json_each(?);

-- name: save_coverage_mark
INSERT INTO coverage_marks (account, sequence) VALUES (?, ?)
ON CONFLICT (account) DO UPDATE SET sequence = excluded.sequence;
