-- When the venue was asked last what a key may do, so that a restart neither asks too often nor waits too long. Of rows from before it is not
-- known: they are asked about soon.
ALTER TABLE exchange_accounts ADD COLUMN rights_time INTEGER;
