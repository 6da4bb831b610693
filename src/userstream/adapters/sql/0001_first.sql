-- The journal and the tables that are made from it. Amounts are plain decimal text, times are integer milliseconds, flags 0 or 1.

-- One row holds what one commit brought for one account: a MessagePack list of records. Written once, never changed.
CREATE TABLE journal (
    position INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    first_sequence INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    first_received INTEGER NOT NULL,
    last_received INTEGER NOT NULL,
    records INTEGER NOT NULL,
    data BLOB NOT NULL,
    UNIQUE (account, first_sequence)
) STRICT;

-- Events that rebuild an account as it was after `sequence`: a MessagePack list of events.
CREATE TABLE checkpoints (
    account TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;

-- How far each reader of the journal has come; written in the same transaction as the reader's results.
CREATE TABLE cursors (
    reader TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT;

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- Tables that grow keep their rows in the order of arrival (rowid): new rows of all accounts lie together, and newest-first needs no
-- index of its own. An order keeps the place of its first message.
CREATE TABLE orders (
    account TEXT NOT NULL,
    venue TEXT NOT NULL,
    symbol TEXT NOT NULL,
    order_id TEXT NOT NULL,
    conditional INTEGER NOT NULL,
    client_order_id TEXT NOT NULL,
    side TEXT NOT NULL,
    position_side TEXT NOT NULL,
    order_type TEXT NOT NULL,
    original_type TEXT NOT NULL,
    time_in_force TEXT NOT NULL,
    status TEXT NOT NULL,
    execution_type TEXT NOT NULL,
    price TEXT NOT NULL,
    stop_price TEXT,
    average_price TEXT,
    quantity TEXT NOT NULL,
    filled_quantity TEXT NOT NULL,
    reduce_only INTEGER NOT NULL,
    post_only INTEGER NOT NULL,
    close_position INTEGER NOT NULL,
    origin TEXT NOT NULL,
    transaction_time INTEGER NOT NULL,
    created_time INTEGER NOT NULL,
    good_till_time INTEGER NOT NULL,
    reason TEXT NOT NULL,
    triggered_order_id TEXT NOT NULL,
    activation_price TEXT,
    callback_rate TEXT,
    activated INTEGER,
    self_trade_prevention TEXT NOT NULL,
    working_type TEXT NOT NULL,
    amendment_id TEXT NOT NULL,
    event_time INTEGER NOT NULL,
    received_time INTEGER NOT NULL,
    source TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (account, symbol, order_id, conditional)
) STRICT;

-- A fill is known by its trade id and its order (an account can trade with itself). What one message left open (fee, profit) another fills in; a known value never changes.
CREATE TABLE fills (
    account TEXT NOT NULL,
    venue TEXT NOT NULL,
    symbol TEXT NOT NULL,
    trade_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    client_order_id TEXT,
    side TEXT,
    position_side TEXT,
    price TEXT,
    quantity TEXT,
    fee TEXT,
    fee_asset TEXT,
    maker INTEGER,
    realized_pnl TEXT,
    origin TEXT,
    transaction_time INTEGER NOT NULL,
    event_time INTEGER NOT NULL,
    received_time INTEGER NOT NULL,
    source TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (account, venue, symbol, trade_id, order_id)
) STRICT;

CREATE TABLE positions (
    account TEXT NOT NULL,
    venue TEXT NOT NULL,
    symbol TEXT NOT NULL,
    position_side TEXT NOT NULL,
    amount TEXT NOT NULL,
    entry_price TEXT NOT NULL,
    break_even_price TEXT,
    unrealized_pnl TEXT,
    realized_pnl TEXT,
    margin_type TEXT,
    isolated_wallet TEXT,
    mark_price TEXT,
    liquidation_price TEXT,
    leverage INTEGER,
    reason TEXT NOT NULL,
    transaction_time INTEGER NOT NULL,
    event_time INTEGER NOT NULL,
    received_time INTEGER NOT NULL,
    source TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (account, symbol, position_side)
) STRICT, WITHOUT ROWID;

CREATE TABLE balances (
    account TEXT NOT NULL,
    venue TEXT NOT NULL,
    asset TEXT NOT NULL,
    total TEXT NOT NULL,
    cross_total TEXT,
    available TEXT,
    reason TEXT NOT NULL,
    transaction_time INTEGER NOT NULL,
    event_time INTEGER NOT NULL,
    received_time INTEGER NOT NULL,
    source TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (account, asset)
) STRICT, WITHOUT ROWID;

-- `movement` names a movement: asset, reason and the venue's id where there is one, else its sequence.
CREATE TABLE movements (
    account TEXT NOT NULL,
    venue TEXT NOT NULL,
    movement TEXT NOT NULL,
    asset TEXT NOT NULL,
    delta TEXT NOT NULL,
    reason TEXT NOT NULL,
    symbol TEXT,
    movement_id TEXT NOT NULL,
    transaction_time INTEGER NOT NULL,
    event_time INTEGER NOT NULL,
    received_time INTEGER NOT NULL,
    source TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (account, movement)
) STRICT;

CREATE TABLE margin_calls (
    account TEXT NOT NULL,
    venue TEXT NOT NULL,
    symbol TEXT NOT NULL,
    position_side TEXT NOT NULL,
    amount TEXT NOT NULL,
    margin_type TEXT NOT NULL,
    isolated_wallet TEXT,
    mark_price TEXT,
    unrealized_pnl TEXT,
    maintenance_margin TEXT,
    cross_wallet TEXT,
    transaction_time INTEGER NOT NULL,
    event_time INTEGER NOT NULL,
    received_time INTEGER NOT NULL,
    source TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (account, sequence)
) STRICT;

-- What happened to the account that is no order, fill, balance or position: feed, gaps, settings, mismatches, unknown messages.
CREATE TABLE account_events (
    account TEXT NOT NULL,
    venue TEXT NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    event_time INTEGER NOT NULL,
    received_time INTEGER NOT NULL,
    source TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (account, sequence)
) STRICT;

-- The completeness certificate: spans of venue time [since, until) that do not overlap; until is NULL while a span is growing.
CREATE TABLE coverage (
    account TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    state TEXT NOT NULL CHECK (state IN ('PROVEN', 'STREAM_ONLY', 'KNOWN_GAP', 'REPAIRED')),
    PRIMARY KEY (account, since)
) STRICT, WITHOUT ROWID;

-- The last event that the certificate of an account has taken in.
CREATE TABLE coverage_marks (
    account TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT;
