-- Analysts who bring a ClickHouse client of their own. Trailhouse does not run this file: an
-- administrator does, behind `trailhouse migrate up`, once and again after an upgrade:
--
--   clickhouse-client --queries-file deploy/clickhouse/analysts.sql
--
-- It may run again: what an administrator has changed of limits stays, policies are as here. Where the
-- database is not `trailhouse`, replace that name. On a cluster every statement wants ON CLUSTER, and
-- the cluster a `secret`, or currentUser() is not the analyst behind a Distributed table; every shard
-- needs the same rows in `analyst_tenants`, and each grant on a table or the view of `trailhouse` wants
-- its twin on `trailhouse_all`, where analysts ask.
--
-- An analyst reads the rows of their own tenants, through the view `audit_events` and in the table
-- `events`, `raw` included, as a reader does through the API. An auditor reads every tenant's rows, and
-- the quarantine with its bytes. Nobody here reads API keys, and nobody writes.
--
--   CREATE USER alice IDENTIFIED BY '…';
--   GRANT trailhouse_analyst TO alice;
--   INSERT INTO trailhouse.analyst_tenants (user, tenant) VALUES ('alice', 'acme');
--
-- Give an analyst no other role that reads this database: with `SET ROLE` they would no longer be an
-- analyst, and see what that role sees. And run a server whose table functions mergeTreeIndex and
-- mergeTreeProjection know of row policies (26.3.22, 26.5.8.18, 26.6.4.10, 26.7.6 or later): before,
-- they showed primary keys and positions of hidden rows.

-- Who may see whose log. Taking a tenant away is a DELETE here, and holds from the next question on.
CREATE TABLE IF NOT EXISTS trailhouse.analyst_tenants
(
    `user` String COMMENT 'name of a ClickHouse user, as currentUser() says it',
    `tenant` LowCardinality(String) COMMENT 'tenant whose events that user may read'
)
ENGINE = MergeTree
ORDER BY (user, tenant)
COMMENT 'tenants of the users that have the role trailhouse_analyst';

CREATE ROLE IF NOT EXISTS trailhouse_analyst;

CREATE ROLE IF NOT EXISTS trailhouse_auditor;

CREATE ROW POLICY OR REPLACE analyst_tenants_own ON trailhouse.analyst_tenants FOR SELECT
    USING user = currentUser()
    TO trailhouse_analyst;

CREATE ROW POLICY OR REPLACE analyst_tenants_others ON trailhouse.analyst_tenants FOR SELECT
    USING 1
    TO ALL EXCEPT trailhouse_analyst;

CREATE ROW POLICY OR REPLACE events_of_own_tenants ON trailhouse.events FOR SELECT
    USING tenant IN (SELECT tenant FROM trailhouse.analyst_tenants WHERE user = currentUser())
    TO trailhouse_analyst;

-- Without this, a server with `users_without_row_policies_can_read_rows` off would show everybody
-- else nothing of a table that has a policy: Trailhouse would not find what it has stored, and store
-- it again.
CREATE ROW POLICY OR REPLACE events_of_everybody ON trailhouse.events FOR SELECT
    USING 1
    TO ALL EXCEPT trailhouse_analyst;

-- `readonly = 2` forbids writing and lets a client set what drivers and BI tools set; what protects
-- the server has bounds, and 0, which would mean no limit, is outside of them. An answer that is too
-- long is an error: one that was cut short would pass for the whole.
--
-- `use_query_condition_cache`: an older server (before 26.3.17 or 26.5.6) remembered what a policy hid
-- as what a condition does not match, and then hid it from others who asked the same.
CREATE SETTINGS PROFILE IF NOT EXISTS trailhouse_analyst SETTINGS
    readonly = 2,
    max_execution_time = 60 MIN 1 MAX 600,
    max_memory_usage = 4000000000 MIN 1 MAX 8000000000,
    max_result_rows = 1000000 MIN 1 MAX 100000000,
    result_overflow_mode = 'throw' CONST,
    timeout_overflow_mode = 'throw' CONST,
    max_threads = 4 MIN 1 MAX 8,
    max_concurrent_queries_for_user = 8 CONST,
    use_query_condition_cache = 0 CONST
    TO trailhouse_analyst, trailhouse_auditor;

CREATE QUOTA IF NOT EXISTS trailhouse_analyst KEYED BY user_name
    FOR INTERVAL 1 hour MAX queries = 3600, execution_time = 1800
    TO trailhouse_analyst, trailhouse_auditor;

-- Rights come last: where this file stops half-way, nobody sees too much.
--
-- The view is read with the analyst's own rights (SQL SECURITY INVOKER), so `events` must be granted;
-- the policy's own question about `analyst_tenants` is asked with them, too.
GRANT SELECT ON trailhouse.audit_events TO trailhouse_analyst, trailhouse_auditor;

GRANT SELECT ON trailhouse.events TO trailhouse_analyst, trailhouse_auditor;

GRANT SELECT ON trailhouse.analyst_tenants TO trailhouse_analyst;

GRANT SELECT ON trailhouse.quarantine TO trailhouse_auditor;

GRANT SELECT ON trailhouse.resolutions TO trailhouse_auditor;

GRANT SELECT ON trailhouse.batches TO trailhouse_auditor;

GRANT SELECT ON trailhouse.gaps TO trailhouse_auditor;

GRANT SELECT ON trailhouse.retired TO trailhouse_auditor;

GRANT SELECT ON trailhouse.retirements TO trailhouse_auditor;

GRANT SELECT ON trailhouse.holds TO trailhouse_auditor;
