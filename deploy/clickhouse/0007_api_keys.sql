-- API keys: what is kept of each, never its secret. Revoking writes the row once more, with the time:
-- it has the greater version, so it stays, whatever the clocks say and however often it is written.
CREATE TABLE IF NOT EXISTS api_keys
(
    `prefix` String COMMENT 'public part of the key, 16 hex digits: names it',
    `name` String COMMENT 'what it is for, in its owner''s words',
    `role` LowCardinality(String) COMMENT 'reader, writer, auditor or admin',
    `tenants` Array(String) COMMENT 'tenants whose events it may ask for; without meaning for auditor and admin',
    `default_tenant` String COMMENT 'tenant that is meant where a request names none; empty for none',
    `actor` String COMMENT 'identity that acts (PACE); empty for none',
    `account_id` String COMMENT 'account it belongs to (SoftwareOne); empty for none',
    `account_name` String COMMENT 'name of that account',
    `resellers` Array(String) COMMENT 'only resellers whose events it sees (Cockpit); empty for no such limit',
    `secret_sha256` String COMMENT 'SHA-256 of the secret, lower-case hex; empty for a key that signs',
    `sealed_secret` String COMMENT 'secret of a key that signs (BloodHound), AES-256-GCM, base64; empty for a key that is shown',
    `created_at` DateTime64(6, 'UTC') COMMENT 'when it was made, microseconds UTC',
    `expires_at` DateTime64(6, 'UTC') COMMENT 'when it expires, microseconds UTC; 1970 for never',
    `revoked_at` DateTime64(6, 'UTC') COMMENT 'when it was revoked, microseconds UTC; 1970 for not'
)
ENGINE = ReplacingMergeTree(revoked_at)
ORDER BY prefix
COMMENT 'API keys; read with FINAL'
