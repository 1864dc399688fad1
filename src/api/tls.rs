//! Connections that are encrypted.
//!
//! In: a TCP listener, a certificate and its key. Out: a
//! [`TlsListener`] for axum to serve.
//!
//! # Invariants
//! - A connection that does not shake hands within [`PATIENCE`], or not rightly, is dropped and
//!   holds up nobody: hands are shaken beside each other, [`MOST`] at a time.
//! - TLS 1.2 and 1.3, HTTP/1.1.
//!
//! Deliberately unknown here: what is asked, who asks.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use super::config::TlsConfig;

/// How long shaking hands may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections that shake hands at the same time.
const MOST: usize = 1024;

/// What connections are encrypted with.
pub struct Tls(TlsAcceptor);

impl Tls {
    /// The certificate of the settings; `None` where they name none.
    pub fn of(config: &TlsConfig) -> Result<Option<Tls>, TlsError> {
        let (Some(certificate), Some(key)) = (&config.certificate_file, &config.key_file) else {
            return Ok(None);
        };
        let server = server(certificate, key)?;
        Ok(Some(Tls(TlsAcceptor::from(Arc::new(server)))))
    }

    /// Encrypt the connections of a listener.
    pub fn over(self, listener: TcpListener) -> TlsListener {
        TlsListener { listener, acceptor: self.0, shaking: JoinSet::new() }
    }
}

/// Listens for encrypted connections.
pub struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    shaking: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let is_full = self.shaking.len() >= MOST;
            tokio::select! {
                Some(shaken) = self.shaking.join_next() => {
                    if let Ok(Some(connection)) = shaken {
                        return connection;
                    }
                }
                (stream, address) = Listener::accept(&mut self.listener), if !is_full => {
                    let shaking = self.acceptor.accept(stream);
                    self.shaking.spawn(async move {
                        let shaken = tokio::time::timeout(PATIENCE, shaking).await;
                        match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                            Ok(stream) => Some((stream, address)),
                            Err(error) => {
                                tracing::debug!(%address, %error, "no TLS connection");
                                None
                            }
                        }
                    });
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn server(certificate: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let file = |path: &Path, cause: String| TlsError { path: path.to_owned(), cause };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| file(certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(file(certificate, "it has no certificate, PEM".to_owned()));
    }
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| file(key, error.to_string()))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private));
    let mut server = server.map_err(|error| file(certificate, error.to_string()))?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(server)
}

/// A file of `api.tls` is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("api.tls, {}: {cause}", path.display())]
pub struct TlsError {
    path: PathBuf,
    cause: String,
}
