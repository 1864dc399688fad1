//! Taking a log away: a [`Selection`] in one of ClickHouse's own formats, as it comes.
//!
//! In: what is asked about, a format. Out: [`Chunks`] of bytes, which nobody here looks into.
//!
//! # Invariants
//! - Columns are named as the native API's JSON names its fields; `raw` stays here. An absent text
//!   is an empty one, and `changes` are JSON as a text, since no format can leave them as they are.
//! - In CSV no cell that is somebody's text begins with `=`, `+`, `-`, `@`, a tab or a carriage
//!   return, which a spreadsheet would run: a single quote goes before.
//! - An error behind the first bytes is an error of the stream: ClickHouse breaks the transfer off,
//!   behind the error's text between tags, which the client knows.
//!
//! Deliberately unknown here: who takes it, and where to.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use clickhouse::error::Error;
use clickhouse::query::BytesCursor;
use futures_core::Stream;
use tokio::time::{Instant, Sleep};

use super::select::sees_nothing;
use super::statement::Statement;
use super::{READ_TIMEOUT, Warehouse};
use crate::query::{Chunks, ExportFormat, ReadError, Selection};

/// How long ClickHouse may work on one export: about as long as somebody may take it.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3_600);

/// The columns for formats that nest.
const NESTED: &str = "SELECT toString(id) AS id, source_id, tenant, schema, mapping_version, \
    occurred_at, received_at, toString(time_source) AS time_source, service, action, \
    toString(verb) AS verb, toString(outcome) AS outcome, reason, \
    CAST((actor_id, actor_type, actor_name, actor_email, actor_account_id, actor_account_name), \
    'Tuple(id String, type String, name String, email String, account_id String, \
    account_name String)') AS actor, \
    CAST((target_id, target_type, target_name), 'Tuple(id String, type String, name String)') \
    AS target, targets, toString(origin) AS origin, client_address AS client_ip, user_agent, \
    country, region, session_id, request_id, correlation_id, message, \
    CAST((changes_old, changes_new), 'Tuple(old String, new String)') AS changes, \
    CAST(attributes, 'Map(String, String)') AS attributes, written_by, \
    CAST(headers, 'Map(String, String)') AS headers, \
    CAST((kafka_cluster, kafka_topic, kafka_incarnation, kafka_partition, kafka_offset, \
    kafka_index), 'Tuple(cluster String, topic String, incarnation String, partition Int32, \
    offset Int64, index UInt32)') AS kafka";

/// The columns for tables of cells.
const FLAT: &str = "WITH text -> if(match(text, '^[=+@\\\\t\\\\r-]'), concat('\\'', text), text) \
    AS safe SELECT toString(id) AS id, safe(source_id) AS source_id, safe(tenant) AS tenant, \
    safe(schema) AS schema, mapping_version, occurred_at, received_at, \
    toString(time_source) AS time_source, safe(service) AS service, safe(action) AS action, \
    toString(verb) AS verb, toString(outcome) AS outcome, safe(reason) AS reason, \
    safe(actor_id) AS `actor.id`, safe(actor_type) AS `actor.type`, \
    safe(actor_name) AS `actor.name`, safe(actor_email) AS `actor.email`, \
    safe(actor_account_id) AS `actor.account_id`, \
    safe(actor_account_name) AS `actor.account_name`, safe(target_id) AS `target.id`, \
    safe(target_type) AS `target.type`, safe(target_name) AS `target.name`, \
    toJSONString(targets) AS all_targets, toString(origin) AS origin, \
    client_address AS client_ip, safe(user_agent) AS user_agent, safe(country) AS country, \
    safe(region) AS region, safe(session_id) AS session_id, safe(request_id) AS request_id, \
    safe(correlation_id) AS correlation_id, safe(message) AS message, \
    safe(changes_old) AS `changes.old`, safe(changes_new) AS `changes.new`, \
    toJSONString(attributes) AS all_attributes, safe(written_by) AS written_by, \
    toJSONString(headers) AS all_headers, safe(kafka_cluster) AS `kafka.cluster`, \
    safe(kafka_topic) AS `kafka.topic`, safe(kafka_incarnation) AS `kafka.incarnation`, \
    kafka_partition AS `kafka.partition`, kafka_offset AS `kafka.offset`, \
    kafka_index AS `kafka.index`";

/// From an inner question, whose names are the table's: an alias would hide a column.
const FROM: &str = " FROM (SELECT *, if(client_ip = toIPv6('::'), '', \
    replaceRegexpOne(IPv6NumToString(client_ip), '^::ffff:([0-9.]+)$', '\\\\1')) \
    AS client_address";

impl Warehouse {
    /// Records as bytes, newest first. Answered once there are some.
    pub(super) async fn take_away(
        &self,
        selection: &Selection,
        format: ExportFormat,
        limit: Option<u64>,
    ) -> Result<Chunks, ReadError> {
        let (columns, format) = match format {
            ExportFormat::Ndjson => (NESTED, "JSONEachRow"),
            ExportFormat::Csv => (FLAT, "CSVWithNames"),
            ExportFormat::Parquet => (NESTED, "Parquet"),
        };
        let mut ask = Statement::new(columns);
        ask.then(FROM).from(selection);
        if sees_nothing(&selection.tenants) {
            ask.then(" AND 0");
        }
        ask.then(" ORDER BY occurred_at DESC, id DESC");
        if let Some(limit) = limit {
            ask.add(" LIMIT ?", i64::try_from(limit).unwrap_or(i64::MAX));
        }
        ask.then(")");
        self.stream(&ask, format).await
    }

    async fn stream(&self, ask: &Statement, format: &str) -> Result<Chunks, ReadError> {
        let begun = self.in_time(async {
            let client = self.reader().await?;
            let mut query = ask.ask(client)?.query;
            // Where the user's profile lets us set anything, reads end in time; this one may last.
            if client.get_setting("max_execution_time").is_some() {
                for (name, value) in [
                    ("max_execution_time", EXPORT_TIMEOUT.as_secs().to_string().as_str()),
                    ("date_time_output_format", "iso"),
                    ("output_format_json_quote_64bit_integers", "0"),
                    ("output_format_parquet_string_as_string", "1"),
                    ("cancel_http_readonly_queries_on_client_close", "1"),
                ] {
                    query = query.with_setting(name, value);
                }
            }
            let mut cursor = query.fetch_bytes(format)?;
            let first = cursor.next().await?;
            client.count(cursor.summary());
            Ok((cursor, first))
        });
        let (cursor, held) = begun.await?;
        Ok(Box::pin(Export {
            warehouse: self.clone(),
            cursor,
            held,
            patience: Box::pin(tokio::time::sleep(READ_TIMEOUT)),
            is_over: false,
        }))
    }
}

/// An answer on its way.
struct Export {
    warehouse: Warehouse,
    cursor: BytesCursor,
    /// What came last. It goes on when more has come, for it may be how an error begins, whose
    /// words are not for everybody.
    held: Option<Bytes>,
    /// How long the next bytes may take.
    patience: Pin<Box<Sleep>>,
    is_over: bool,
}

impl Export {
    fn next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        match self.cursor.poll_next(context) {
            Poll::Pending if self.patience.as_mut().poll(context).is_ready() => {
                Poll::Ready(Err(Error::TimedOut))
            }
            told => told,
        }
    }
}

impl Stream for Export {
    type Item = Result<Bytes, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.is_over {
            match ready!(self.next(context)) {
                Ok(Some(chunk)) => {
                    self.patience.as_mut().reset(Instant::now() + READ_TIMEOUT);
                    if let Some(before) = self.held.replace(chunk) {
                        return Poll::Ready(Some(Ok(before)));
                    }
                }
                Ok(None) => self.is_over = true,
                Err(error) => {
                    self.is_over = true;
                    self.held = None;
                    return Poll::Ready(Some(Err(self.warehouse.read_error(error))));
                }
            }
        }
        Poll::Ready(self.held.take().map(Ok))
    }
}
