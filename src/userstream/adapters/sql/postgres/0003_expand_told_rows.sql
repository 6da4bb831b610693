-- oldest program: 1
-- A row as an event tells it: amounts are text, which is exact whatever its digits, flags are 0 or 1. A turn's rows of a table come as one
-- array of these, which costs both sides a fraction of what an array for each column does.

CREATE TYPE userstream.told_orders AS (
    account text,
    venue text,
    symbol text,
    order_id text,
    conditional int,
    client_order_id text,
    side text,
    position_side text,
    order_type text,
    original_type text,
    time_in_force text,
    status text,
    execution_type text,
    price text,
    stop_price text,
    average_price text,
    quantity text,
    filled_quantity text,
    reduce_only int,
    post_only int,
    close_position int,
    origin text,
    transaction_time bigint,
    created_time bigint,
    good_till_time bigint,
    reason text,
    triggered_order_id text,
    activation_price text,
    callback_rate text,
    activated int,
    self_trade_prevention text,
    working_type text,
    amendment_id text,
    order_list_id text,
    iceberg_quantity text,
    prevented_quantity text,
    prevented_match_id text,
    event_time bigint,
    received_time bigint,
    source text,
    sequence bigint
);

CREATE TYPE userstream.told_fills AS (
    account text,
    venue text,
    symbol text,
    trade_id text,
    order_id text,
    client_order_id text,
    side text,
    position_side text,
    price text,
    quantity text,
    fee text,
    fee_asset text,
    maker int,
    realized_pnl text,
    origin text,
    transaction_time bigint,
    event_time bigint,
    received_time bigint,
    source text,
    sequence bigint
);

CREATE TYPE userstream.told_positions AS (
    account text,
    venue text,
    symbol text,
    position_side text,
    amount text,
    entry_price text,
    break_even_price text,
    unrealized_pnl text,
    realized_pnl text,
    margin_type text,
    isolated_wallet text,
    mark_price text,
    liquidation_price text,
    leverage bigint,
    reason text,
    transaction_time bigint,
    event_time bigint,
    received_time bigint,
    source text,
    sequence bigint
);

CREATE TYPE userstream.told_balances AS (
    account text,
    venue text,
    asset text,
    total text,
    cross_total text,
    available text,
    reason text,
    transaction_time bigint,
    event_time bigint,
    received_time bigint,
    source text,
    sequence bigint
);

CREATE TYPE userstream.told_movements AS (
    account text,
    venue text,
    movement text,
    asset text,
    delta text,
    reason text,
    symbol text,
    movement_id text,
    transaction_time bigint,
    event_time bigint,
    received_time bigint,
    source text,
    sequence bigint
);

CREATE TYPE userstream.told_margin_calls AS (
    account text,
    venue text,
    symbol text,
    position_side text,
    amount text,
    margin_type text,
    isolated_wallet text,
    mark_price text,
    unrealized_pnl text,
    maintenance_margin text,
    cross_wallet text,
    margin_level text,
    status text,
    transaction_time bigint,
    event_time bigint,
    received_time bigint,
    source text,
    sequence bigint
);

CREATE TYPE userstream.told_account_events AS (
    account text,
    venue text,
    kind text,
    data text,
    event_time bigint,
    received_time bigint,
    source text,
    sequence bigint
);
