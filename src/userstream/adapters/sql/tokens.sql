-- The tokens of the HTTP API.

-- name: insert_token
INSERT INTO api_tokens (id, name, role, hash, created_time, expires_time)
VALUES (:id, :name, :role, :hash, :created_time, :expires_time);

-- name: find_live_name
SELECT id FROM api_tokens WHERE name = :name AND revoked_time IS NULL AND expires_time > :now LIMIT 1;

-- name: read_token
SELECT id, name, role, hash, created_time, expires_time, revoked_time FROM api_tokens WHERE id = ?;

-- name: read_tokens
SELECT id, name, role, hash, created_time, expires_time, revoked_time FROM api_tokens ORDER BY created_time, id;

-- name: revoke_token
UPDATE api_tokens SET revoked_time = coalesce(revoked_time, :time) WHERE id = :id;
