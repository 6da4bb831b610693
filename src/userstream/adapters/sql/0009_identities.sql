-- What the venue calls the account that a name stands for; empty where it was never learned. It stays when the account is removed, as the
-- history in the store does: another account must not go on with it.
ALTER TABLE record_versions ADD COLUMN identity TEXT NOT NULL DEFAULT '';
