//! Rows for a table that is to be full: made in ClickHouse, by SQL.
//!
//! In: how many, between which times. Out: the statement that inserts them into `events`.
//!
//! # Invariants
//! - The same numbers make the same rows; their topic is `audit`, their cluster `bench`.
//!
//! Deliberately unknown here: what they are for.

/// Whose they are: `tenant-00` and so on.
pub const TENANTS: u64 = 50;

/// Rows of the size and variety of an audit log: few actions, some thousands of actors, many
/// targets, half a kilobyte of JSON with a dozen words of a vocabulary and numbers of its own.
pub fn insert_rows(count: u64, from: i64, to: i64) -> String {
    let step = (to - from) / count as i64;
    format!(
        r#"INSERT INTO events (id, source_id, tenant, schema, mapping_version, occurred_at, received_at, time_source, service, action, verb, outcome, actor_id, actor_type, actor_name, actor_email, target_id, target_type, target_name, origin, client_ip, user_agent, country, session_id, request_id, message, attributes, raw, kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, kafka_offset)
WITH
    cityHash64(number) AS h, cityHash64(number, 1) AS h1, cityHash64(number, 2) AS h2,
    concat('tenant-', leftPad(toString(h % {TENANTS}), 2, '0')) AS owner,
    concat('user-', toString(intDiv(h1 % 1000000, 1 + h1 % 1000))) AS who,
    concat('order-', toString(h2 % 300000)) AS what,
    concat(['order','invoice','user','project','key','bucket','role','session'][1 + h2 % 8], '.', ['create','update','delete','read','list','login','grant','export','approve','archive'][1 + intDiv(h1, 7) % 10]) AS deed,
    fromUnixTimestamp64Micro({from} + toInt64(number) * {step} + toInt64(h % {step}), 'UTC') AS at,
    arrayStringConcat(arrayMap(i -> concat('w', hex(cityHash64(intDiv(cityHash64(number, i) % 4000000, 1 + cityHash64(i, number) % 2000)) % 65536)), range(12)), ' ') AS words,
    concat('10.', toString(h % 256), '.', toString(h1 % 256), '.', toString(h2 % 256)) AS ip,
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36' AS program
SELECT reinterpretAsUUID(sipHash128(number)), hex(h1), owner, 'shop', 3, at, at + toIntervalMillisecond(800), 'event', 'shop', deed,
    ['create','update','delete','read','read','login','grant','execute','update','other'][1 + intDiv(h1, 7) % 10],
    ['success','success','success','failure','unknown'][1 + h2 % 5],
    who, 'user', who, concat(who, '@example.com'), what, ['order','invoice','user'][1 + h2 % 3], concat('Order ', what), 'api', toIPv6(ip),
    program, 'DE', hex(h1 % 1000000), hex(h2), words, map('status', '200', 'region', 'eu-west-1'),
    concat('{{"id":"', hex(h1), '","actor":{{"id":"', who, '","email":"', who, '@example.com"}},"action":"', deed, '","target":{{"id":"', what, '","type":"order"}},"occurred_at":"', toString(at), '","client_ip":"', ip, '","user_agent":"', program, '","request_id":"', hex(h2), '","session_id":"', hex(h1 % 1000000), '","message":"', words, '","status":200,"region":"eu-west-1"}}'),
    'bench', 'audit', 'i', toInt32(number % 12), toInt64(intDiv(number, 12))
FROM numbers({count}) SETTINGS max_insert_threads = 1"#
    )
}
