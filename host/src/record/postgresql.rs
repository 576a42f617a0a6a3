//! Records in a PostgreSQL database.
//!
//! Entry type: [`Postgresql`]. A batch is one statement, so all of it is there or nothing, and what a lost connection leaves in
//! doubt is sent again and written once. The connection has no TLS: to a server elsewhere it belongs into a tunnel. Invariants:
//! nothing of a record becomes SQL text; everything that is asked of the server has a time-out; after any error the connection
//! is opened anew.

use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, NoTls};

use super::entry::Record;
use super::sink::{Sink, StoreError};

/// The longest that the server may take for one step; then the connection is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// What PostgreSQL's text cannot hold becomes this.
const REPLACEMENT: &str = "\u{fffd}";

/// The tables, as in `docs/records.md`.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS callbox_records (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, tenant TEXT NOT NULL, flow TEXT NOT NULL, version TEXT NOT NULL,
    began_ms BIGINT NOT NULL, ended_ms BIGINT NOT NULL, outcome TEXT NOT NULL, outcome_text TEXT, limit_hit TEXT,
    fuel BIGINT NOT NULL, memory_bytes BIGINT NOT NULL, suppressed_lines BIGINT NOT NULL,
    legs_forgotten BIGINT NOT NULL, fields JSONB NOT NULL);
CREATE TABLE IF NOT EXISTS callbox_legs (
    record BIGINT NOT NULL REFERENCES callbox_records (id) ON DELETE CASCADE, position BIGINT NOT NULL,
    leg BIGINT NOT NULL, direction TEXT NOT NULL, call_id TEXT NOT NULL, ani TEXT NOT NULL, dnis TEXT NOT NULL,
    destination TEXT NOT NULL, started_ms BIGINT NOT NULL, rang_ms BIGINT, answered_ms BIGINT, ended_ms BIGINT,
    code INTEGER, hung_up_by TEXT, q850 INTEGER, reason TEXT, PRIMARY KEY (record, position));
CREATE INDEX IF NOT EXISTS callbox_records_by_tenant ON callbox_records (tenant, began_ms);
CREATE INDEX IF NOT EXISTS callbox_legs_by_ani ON callbox_legs (ani);
CREATE INDEX IF NOT EXISTS callbox_legs_by_dnis ON callbox_legs (dnis);";

/// A batch, given as one JSON text.
const INSERT: &str = "
WITH given AS (SELECT one FROM jsonb_array_elements($1::text::jsonb) AS all_of (one)),
written AS (
    INSERT INTO callbox_records (session, kind, tenant, flow, version, began_ms, ended_ms, outcome, outcome_text,
        limit_hit, fuel, memory_bytes, suppressed_lines, legs_forgotten, fields)
    SELECT r.session, r.kind, r.tenant, r.flow, r.version, r.began_ms, r.ended_ms, r.outcome, r.outcome_text,
        r.\"limit\", r.fuel, r.memory_bytes, r.suppressed_lines, r.legs_forgotten, r.fields
    FROM given, jsonb_to_record(one) AS r (session text, kind text, tenant text, flow text, version text,
        began_ms bigint, ended_ms bigint, outcome text, outcome_text text, \"limit\" text, fuel bigint,
        memory_bytes bigint, suppressed_lines bigint, legs_forgotten bigint, fields jsonb)
    ON CONFLICT (session) DO NOTHING
    RETURNING id, session)
INSERT INTO callbox_legs (record, position, leg, direction, call_id, ani, dnis, destination, started_ms, rang_ms,
    answered_ms, ended_ms, code, hung_up_by, q850, reason)
SELECT written.id, legs.position - 1, l.leg, l.direction, l.call_id, l.ani, l.dnis, l.destination, l.started_ms, l.rang_ms,
    l.answered_ms, l.ended_ms, l.code, l.\"by\", l.q850, l.reason
FROM given JOIN written ON written.session = one ->> 'session',
    jsonb_array_elements(one -> 'legs') WITH ORDINALITY AS legs (leg, position),
    jsonb_to_record(legs.leg) AS l (leg bigint, direction text, call_id text, ani text, dnis text, destination text,
        started_ms bigint, rang_ms bigint, answered_ms bigint, ended_ms bigint, code integer, \"by\" text,
        q850 integer, reason text)";

/// The URL of a server does not parse.
#[derive(Debug, thiserror::Error)]
#[error("is no PostgreSQL URL: {0}; write postgresql://callbox@db.example/calls")]
pub struct BadUrl(String);

/// A database.
pub struct Postgresql {
    config: Config,
    place: String,
    /// The client's own thread of control: this one, whenever something is asked.
    runtime: Option<Runtime>,
    client: Option<Client>,
}

impl Postgresql {
    /// The database at `url`, which is connected to when it is opened. It has the password of the URL, or this one.
    ///
    /// # Errors
    /// The URL does not parse.
    pub fn new(url: &str, password: Option<&str>) -> Result<Self, BadUrl> {
        let mut config: Config = url
            .parse()
            .map_err(|error: tokio_postgres::Error| BadUrl(error.to_string()))?;
        if let Some(password) = password {
            config.password(password);
        }
        config
            .connect_timeout(PATIENCE)
            .application_name("callbox")
            .keepalives(true);
        let hosts: Vec<String> = config
            .get_hosts()
            .iter()
            .map(|host| format!("{host:?}"))
            .collect();
        let place = format!("{}/{}", hosts.join(","), config.get_dbname().unwrap_or_default());
        Ok(Self {
            config,
            place,
            runtime: None,
            client: None,
        })
    }

    fn attempt(&mut self, what: &'static str, batch: Option<String>) -> Result<(), StoreError> {
        let failed = |error: String| StoreError::Server {
            place: self.place.clone(),
            what,
            error,
        };
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| failed(error.to_string()))?,
        };
        let known = self.client.take().filter(|client| !client.is_closed());
        let work = async {
            let client = match known {
                Some(client) => client,
                None => connect(&self.config).await?,
            };
            if let Some(batch) = batch {
                client.execute(INSERT, &[&batch]).await?;
            }
            Ok::<Client, tokio_postgres::Error>(client)
        };
        let done = runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await });
        self.runtime = Some(runtime);
        match done {
            Ok(Ok(client)) => {
                self.client = Some(client);
                Ok(())
            }
            Ok(Err(error)) => Err(StoreError::Server {
                place: self.place.clone(),
                what,
                error: words(&error),
            }),
            Err(_) => Err(StoreError::Server {
                place: self.place.clone(),
                what,
                error: format!("no answer within {} s", PATIENCE.as_secs()),
            }),
        }
    }
}

async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    // It moves whenever something is asked, and ends with the client.
    tokio::spawn(connection);
    // Who may not make tables can write to those that are there.
    let there = client
        .query_one("SELECT to_regclass('callbox_legs') IS NOT NULL", &[])
        .await?;
    if !there.try_get::<_, bool>(0)? {
        client.batch_execute(TABLES).await?;
    }
    Ok(client)
}

/// The error with its causes: the first one alone says "db error".
fn words(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// PostgreSQL's text holds every character but NUL, and a record that could not be written would stop all after it.
fn without_nul(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', REPLACEMENT),
        Value::Array(values) => values.iter_mut().for_each(without_nul),
        Value::Object(values) => values.values_mut().for_each(without_nul),
        _ => {}
    }
}

impl Sink for Postgresql {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn open(&mut self) -> Result<(), StoreError> {
        self.attempt("be connected to", None)
    }

    fn write(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        let mut all = Value::Array(batch.iter().map(Record::json).collect());
        without_nul(&mut all);
        self.attempt("write records", Some(all.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::entry::tests::sample;
    use super::*;

    /// The server of this URL, which `make test-postgresql` starts; its tables are made anew.
    fn server() -> Postgresql {
        let url = std::env::var("CALLBOX_TEST_POSTGRESQL").unwrap();
        Postgresql::new(&url, None).unwrap()
    }

    fn ask(store: &mut Postgresql, question: &str) -> Vec<Vec<Option<String>>> {
        store.open().unwrap();
        let (runtime, client) = (store.runtime.as_ref().unwrap(), store.client.as_ref().unwrap());
        let rows = runtime.block_on(client.query(question, &[])).unwrap();
        let row = |row: &tokio_postgres::Row| (0..row.len()).map(|at| row.get(at)).collect();
        rows.iter().map(row).collect()
    }

    #[test]
    #[ignore = "needs a server: make test-postgresql"]
    fn a_batch_is_written_once_and_whole_over_lost_connections() {
        let mut store = server();
        let batch: Vec<Record> = (0..100).map(sample).collect();
        store.write(&batch).unwrap();
        // As after a commit whose answer was lost, on a connection that the server has ended.
        let ended = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE application_name = 'callbox' \
                     AND pid <> pg_backend_pid()";
        ask(&mut server(), ended);
        let again: Vec<Record> = (50..150).map(sample).collect();
        while store.write(&again).is_err() {}
        let counts = ask(
            &mut store,
            "SELECT (SELECT count(*) FROM callbox_records)::text, (SELECT count(*) FROM callbox_legs)::text",
        );
        assert_eq!(counts, [[Some("150".to_owned()), Some("300".to_owned())]]);
        let one = ask(
            &mut store,
            "SELECT tenant, limit_hit, fields ->> 'a', hung_up_by, code::text, reason, position::text FROM callbox_records \
             JOIN callbox_legs ON record = id WHERE session = '19ab-7' ORDER BY position",
        );
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            one[0][..3],
            [
                text("acme"),
                text("limits.plugin.fuel_burst"),
                text("größe\n\u{fffd}")
            ]
        );
        assert_eq!(
            one[0][3..],
            [
                text("peer"),
                text("200"),
                text("say \"bye\"\r\n\u{1b}[31m"),
                text("0")
            ]
        );
        assert_eq!(one[1][3..], [text("host"), None, None, text("1")]);
    }

    #[test]
    fn a_server_that_is_not_there_is_an_error_and_not_a_wait() {
        let mut store = Postgresql::new("postgresql://callbox@127.0.0.1:1/calls", Some("secret")).unwrap();
        let began = std::time::Instant::now();
        let error = store.write(&[sample(1)]).unwrap_err().to_string();
        assert!(began.elapsed() < PATIENCE * 2);
        assert!(
            error.contains("127.0.0.1") && !error.contains("secret"),
            "{error}"
        );
        assert!(Postgresql::new("mysql://x", None).is_err());
    }
}
