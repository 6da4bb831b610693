-- oldest program: 1
-- The warnings of an account in a span of venue time, as fills, movements and orders are found already. Orders are found by when they were
-- made: an index on what each change of an order moves would make every change dearer.
CREATE INDEX margin_calls_account_time ON userstream.margin_calls (account, transaction_time DESC);
