-- The registry of accounts and its audit log. The version that counts is the counter's, not the row's own.

-- name: read_version
SELECT version FROM record_versions WHERE id = ?;

-- name: save_version
INSERT INTO record_versions (id, version, identity) VALUES (:id, :version, :identity)
ON CONFLICT (id) DO UPDATE SET version = :version, identity = :identity;

-- name: save_identity
UPDATE record_versions SET identity = :identity WHERE id = :id AND version = :version;

-- name: read_identity
SELECT identity FROM record_versions WHERE id = ?;

-- name: read_history
-- the tables that hold something of any account that ever ran; each is read by its index
SELECT venue FROM account_events WHERE account = :id
UNION ALL SELECT venue FROM balances WHERE account = :id
UNION ALL SELECT venue FROM orders WHERE account = :id
UNION ALL SELECT venue FROM fills WHERE account = :id
LIMIT 1;

-- name: read_newest_fill
SELECT symbol, order_id, coalesce(
    (SELECT created_time FROM orders
     WHERE orders.account = fills.account AND orders.symbol = fills.symbol AND orders.order_id = fills.order_id AND conditional = 0), 0
) FROM fills WHERE account = ? ORDER BY transaction_time DESC LIMIT 1;

-- name: insert_account
INSERT INTO exchange_accounts (
    id, user_id, venue, label, active, rights, rights_time, options, created_time, proven_time, record_version,
    api_key_encrypted, api_secret_encrypted, passphrase_encrypted
) VALUES (
    :id, :user_id, :venue, :label, :active, :rights, :rights_time, :options, :created_time, :proven_time, :record_version,
    :api_key_encrypted, :api_secret_encrypted, :passphrase_encrypted
);

-- name: read_account
SELECT a.id, user_id, venue, label, active, rights, rights_time, options, created_time, proven_time, v.version,
    api_key_encrypted, api_secret_encrypted, passphrase_encrypted, listen_key_encrypted, listen_key_expires_at, v.identity
FROM exchange_accounts AS a JOIN record_versions AS v ON v.id = a.id
WHERE a.id = ?;

-- name: read_page
SELECT a.id, user_id, venue, label, active, rights, rights_time, options, created_time, proven_time, v.version,
    api_key_encrypted, api_secret_encrypted, passphrase_encrypted, listen_key_encrypted, listen_key_expires_at, v.identity
FROM exchange_accounts AS a JOIN record_versions AS v ON v.id = a.id
WHERE a.id > :after AND active >= :least_active
ORDER BY a.id LIMIT :limit;

-- name: set_active
UPDATE exchange_accounts SET active = :active WHERE id = :id;

-- name: remove_account
DELETE FROM exchange_accounts WHERE id = ?;

-- name: replace_key
UPDATE exchange_accounts SET rights = :rights, rights_time = :rights_time, record_version = :record_version,
    api_key_encrypted = :api_key_encrypted, api_secret_encrypted = :api_secret_encrypted, passphrase_encrypted = :passphrase_encrypted,
    listen_key_encrypted = NULL, listen_key_expires_at = NULL
WHERE id = :id;

-- name: save_rights
-- the row is touched in any case: that none was is what tells that there is no such account
UPDATE exchange_accounts SET
    rights = CASE WHEN record_version = :version THEN coalesce(:rights, rights) ELSE rights END,
    rights_time = CASE WHEN record_version = :version THEN :time ELSE rights_time END
WHERE id = :id;

-- name: save_proven
UPDATE exchange_accounts SET proven_time = max(coalesce(proven_time, 0), :time) WHERE id = :id;

-- name: save_listen_key
UPDATE exchange_accounts SET listen_key_encrypted = :record, listen_key_expires_at = :expires_at
WHERE id = :id AND record_version = :version;

-- name: swap_records
UPDATE exchange_accounts SET api_key_encrypted = :api_key, api_secret_encrypted = :api_secret, passphrase_encrypted = :passphrase,
    listen_key_encrypted = :listen_key
WHERE id = :id AND api_key_encrypted = :old_api_key AND api_secret_encrypted IS :old_api_secret
    AND passphrase_encrypted IS :old_passphrase AND listen_key_encrypted IS :old_listen_key;

-- name: read_head
SELECT sequence, hash FROM audit_head;

-- name: save_head
INSERT INTO audit_head (one, sequence, hash) VALUES (1, :sequence, :hash)
ON CONFLICT (one) DO UPDATE SET sequence = :sequence, hash = :hash;

-- name: insert_entry
INSERT INTO audit_log (sequence, time, actor, origin, action, subject, result, detail, previous, hash)
VALUES (:sequence, :time, :actor, :origin, :action, :subject, :result, :detail, :previous, :hash);

-- name: read_entries
SELECT sequence, time, actor, origin, action, subject, result, detail, previous, hash FROM audit_log
WHERE sequence > :after ORDER BY sequence LIMIT :limit;
