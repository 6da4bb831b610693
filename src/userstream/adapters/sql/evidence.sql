-- What an account's certificate rests on. All of it is read in one transaction, so that the parts are of one moment.

-- name: read_coverage
SELECT since, until, state FROM coverage WHERE account = ? ORDER BY since;

-- name: read_mark
SELECT sequence FROM coverage_marks WHERE account = ?;

-- name: read_cursor
SELECT position FROM cursors WHERE reader = ?;

-- name: read_fills
SELECT venue, symbol, trade_id, order_id, side, position_side, quantity, transaction_time, source, sequence FROM fills WHERE account = ?;

-- name: read_orders
SELECT symbol, order_id, filled_quantity, created_time, transaction_time, sequence FROM orders WHERE account = ? AND conditional = 0;

-- name: read_positions
SELECT symbol, position_side, amount FROM positions WHERE account = ?;

-- Nothing before the first mismatch can open or end one.
-- name: read_disputes
SELECT data FROM account_events
WHERE account = :account
  AND (kind = 'mismatch' OR kind = 'snapshot_taken' AND instr(data, '"filled_before"'))
ORDER BY sequence;

-- name: read_journal
SELECT journal.position, journal.last_received, journal.data, places.first_sequence FROM places JOIN journal USING (position)
WHERE places.account = :account AND position <= (SELECT position FROM placed)
UNION ALL
SELECT position, last_received, data, first_sequence FROM journal
WHERE position > (SELECT position FROM placed) AND account = :account
ORDER BY first_sequence;

-- name: read_venue
SELECT venue FROM account_events WHERE account = ? LIMIT 1;
