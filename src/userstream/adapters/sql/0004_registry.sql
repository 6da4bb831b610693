-- The accounts that the service runs. What ends in _encrypted is a record of the vault, useless without its keys.
CREATE TABLE exchange_accounts (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    venue TEXT NOT NULL,
    label TEXT NOT NULL,
    active INTEGER NOT NULL CHECK (active IN (0, 1)),
    rights TEXT,
    options TEXT NOT NULL,
    created_time INTEGER NOT NULL,
    proven_time INTEGER,
    record_version INTEGER NOT NULL,
    api_key_encrypted TEXT NOT NULL,
    api_secret_encrypted TEXT,
    passphrase_encrypted TEXT,
    listen_key_encrypted TEXT,
    listen_key_expires_at INTEGER,
    CHECK ((listen_key_encrypted IS NULL) = (listen_key_expires_at IS NULL))
) STRICT;

CREATE INDEX exchange_accounts_with_listen_key ON exchange_accounts (listen_key_expires_at)
    WHERE active = 1 AND listen_key_encrypted IS NOT NULL;

-- How many credentials an account has had. It stays when the account is removed: a row put back from earlier does not open.
CREATE TABLE record_versions (
    id TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT;

-- Each entry holds the hash of the one before it.
CREATE TABLE audit_log (
    sequence INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    actor TEXT NOT NULL,
    origin TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    result TEXT NOT NULL,
    detail TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;

CREATE TRIGGER audit_log_is_never_changed BEFORE UPDATE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only appended to');
END;

CREATE TRIGGER audit_log_is_never_cut BEFORE DELETE ON audit_log
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only appended to');
END;

-- Where the log ends: a cut end is seen.
CREATE TABLE audit_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    sequence INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;
