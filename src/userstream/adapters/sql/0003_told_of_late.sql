-- What margin's warnings and Spot's orders say beside what was kept so far. Rows from before say nothing of it.
ALTER TABLE margin_calls ADD COLUMN margin_level TEXT;
ALTER TABLE margin_calls ADD COLUMN status TEXT NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN order_list_id TEXT NOT NULL DEFAULT '';
ALTER TABLE orders ADD COLUMN iceberg_quantity TEXT;
ALTER TABLE orders ADD COLUMN prevented_quantity TEXT;
ALTER TABLE orders ADD COLUMN prevented_match_id TEXT NOT NULL DEFAULT '';
