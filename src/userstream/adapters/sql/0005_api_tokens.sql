-- Who may use the HTTP API. Of a token only its hash is kept; a token that was revoked stays, so that the audit log can be read.
CREATE TABLE api_tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    hash TEXT NOT NULL UNIQUE,
    created_time INTEGER NOT NULL,
    expires_time INTEGER NOT NULL,
    revoked_time INTEGER
) STRICT;
