//! The way to ClickHouse: encrypted or not, and to another host while the first does not answer.
//!
//! In: addresses in the order they are tried, authorities of certificates. Out: a client.
//!
//! # Invariants
//! - A host is chosen for a connection, not for a request: nothing that was sent is sent again.
//! - A host that took no connection is tried last for [`AVOIDED_FOR`], so that it delays nobody.
//! - With `https://` the host's certificate is checked for the host that is connected to.
//!
//! Deliberately unknown here: what is sent, and whether another host may be asked it.

use std::error::Error;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use clickhouse::Client;
use hyper::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tower_service::Service;

/// How long a host may take to take a connection.
const CONNECTS_WITHIN: Duration = Duration::from_secs(5);

/// How long a host that took none is tried last.
const AVOIDED_FOR: Duration = Duration::from_secs(5);

/// Shorter than ClickHouse's own three seconds: it must not be the one to close.
const IDLE_FOR: Duration = Duration::from_secs(2);

const KEEPALIVE: Duration = Duration::from_secs(60);

type Failure = Box<dyn Error + Send + Sync>;

/// A client of the first of these addresses, which connects to the next where that takes no
/// connection.
pub(super) fn client(urls: &[&str], ca_file: Option<&Path>) -> Result<Client, TransportError> {
    let mut hosts = Vec::new();
    for url in urls {
        let uri = url.parse().map_err(|error| TransportError::Address {
            url: (*url).to_owned(),
            cause: format!("{error}"),
        })?;
        hosts.push(Host { uri, failed_at: Mutex::default() });
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_connect_timeout(Some(CONNECTS_WITHIN));
    let is_encrypted = urls.iter().any(|url| url.starts_with("https://"));
    let tls = HttpsConnectorBuilder::new().with_tls_config(tls(is_encrypted, ca_file)?);
    let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
    let connector = Connector { connector, hosts: hosts.into() };
    let http =
        HttpClient::builder(TokioExecutor::new()).pool_idle_timeout(IDLE_FOR).build(connector);
    let first = urls.first().copied().unwrap_or_default();
    Ok(Client::with_http_client(http).with_url(first))
}

/// Whose certificates hold. This machine's authorities are read only where they are needed.
fn tls(is_encrypted: bool, ca_file: Option<&Path>) -> Result<ClientConfig, TransportError> {
    use hyper_rustls::ConfigBuilderExt as _;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TransportError::Authorities(error.to_string()))?;
    let builder = match ca_file.filter(|_| is_encrypted) {
        None if is_encrypted => builder
            .with_native_roots()
            .map_err(|error| TransportError::Authorities(error.to_string()))?,
        None => builder.with_root_certificates(RootCertStore::empty()),
        Some(file) => builder.with_root_certificates(authorities(file)?),
    };
    Ok(builder.with_no_client_auth())
}

fn authorities(file: &Path) -> Result<RootCertStore, TransportError> {
    let fails = |cause: String| TransportError::File { path: file.to_owned(), cause };
    let mut store = RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(file).map_err(|error| fails(error.to_string()))?
    {
        let certificate = certificate.map_err(|error| fails(error.to_string()))?;
        store.add(certificate).map_err(|error| fails(error.to_string()))?;
    }
    match store.is_empty() {
        true => Err(fails("it has no certificate, PEM".to_owned())),
        false => Ok(store),
    }
}

/// Connects to the first host that takes a connection.
#[derive(Clone)]
struct Connector {
    connector: HttpsConnector<HttpConnector>,
    hosts: Arc<[Host]>,
}

struct Host {
    uri: Uri,
    failed_at: Mutex<Option<Instant>>,
}

impl Host {
    fn is_avoided(&self) -> bool {
        let failed_at = self.failed_at.lock().unwrap_or_else(PoisonError::into_inner);
        failed_at.is_some_and(|at| at.elapsed() < AVOIDED_FOR)
    }

    fn failed(&self, at: Option<Instant>) {
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Connector { mut connector, hosts } = self.clone();
        Box::pin(async move {
            let (avoided, wanted): (Vec<&Host>, Vec<&Host>) =
                hosts.iter().partition(|host| host.is_avoided());
            let mut failures = Vec::new();
            for host in wanted.into_iter().chain(avoided) {
                match connector.call(host.uri.clone()).await {
                    Ok(connection) => {
                        host.failed(None);
                        return Ok(connection);
                    }
                    Err(failure) => {
                        host.failed(Some(Instant::now()));
                        failures.push((host.uri.clone(), failure));
                    }
                }
            }
            Err(all(failures))
        })
    }
}

/// The failure of the one host there is, else what each said.
fn all(failures: Vec<(Uri, Failure)>) -> Failure {
    let told: Vec<String> =
        failures.iter().map(|(uri, why)| format!("{uri}: {}", causes(why))).collect();
    match <[_; 1]>::try_from(failures) {
        Ok([(_, failure)]) => failure,
        Err(_) => told.join("; ").into(),
    }
}

/// The words of a failure and of those beneath it.
fn causes(failure: &Failure) -> String {
    let mut told = failure.to_string();
    let mut beneath = failure.source();
    while let Some(error) = beneath {
        told = format!("{told}: {error}");
        beneath = error.source();
    }
    told
}

/// There is no way to ClickHouse to be made of the settings.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// One of the addresses is none.
    #[error("clickhouse: `{url}` is no address: {cause}")]
    Address {
        /// The address.
        url: String,
        /// Why.
        cause: String,
    },
    /// The file of authorities is not what it should be.
    #[error(
        "clickhouse.ca_file {}: {cause}; name a PEM file that this user may read", path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// This machine has none of its own.
    #[error("no certificates of authorities on this machine: {0}; set clickhouse.ca_file")]
    Authorities(String),
}
