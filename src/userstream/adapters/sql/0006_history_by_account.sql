-- Pages of one account's history: its newest rows in the order of their arrival, and those of a span of venue time. An index ends with the
-- rowid, so both are read without the rows of others.
CREATE INDEX orders_of_account ON orders (account);
CREATE INDEX orders_by_time ON orders (account, transaction_time);
CREATE INDEX fills_of_account ON fills (account);
CREATE INDEX fills_by_time ON fills (account, transaction_time);
CREATE INDEX movements_of_account ON movements (account);
CREATE INDEX movements_by_time ON movements (account, transaction_time);
CREATE INDEX margin_calls_by_time ON margin_calls (account, transaction_time);
