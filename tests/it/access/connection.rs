//! Connections: encrypted ones, and those that say nothing or not enough.
//!
//! In: a service, a certificate made for it. Out: what comes over the connection.
//!
//! # Invariants
//! - Every read has a deadline.
//!
//! Deliberately unknown here: who asks.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{Settings, get, text};
use crate::harness::DEADLINE;

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_encrypted_and_one_that_says_nothing_holds_up_nobody() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let settings =
        Settings::with("[api.tls]\ncertificate_file = \"CERT\"\nkey_file = \"KEY\"\n").await;
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| settings.dir.path().join(name));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let text = std::fs::read_to_string(settings.file()).unwrap();
    let text = text.replace("CERT", certificate.to_str().unwrap());
    std::fs::write(settings.file(), text.replace("KEY", key.to_str().unwrap())).unwrap();

    let service = settings.serve().await;
    let silent = TcpStream::connect(service.address).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(client), name).unwrap();
    let address = service.address;
    let asked = tokio::task::spawn_blocking(move || {
        let encrypted = livez(StreamOwned::new(session, connect(address)));
        (encrypted, livez(connect(address)))
    });
    let (encrypted, plain) = asked.await.unwrap();
    assert!(encrypted.starts_with("HTTP/1.1 200") && encrypted.contains("alive"), "{encrypted}");
    assert!(!plain.contains("alive"), "{plain}");
    tokio::time::timeout(DEADLINE, service.stop()).await.unwrap().unwrap();
    drop(silent);
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// What is answered over a connection; what came of it where it breaks off.
fn livez(mut stream: impl Read + Write) -> String {
    let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    // Reset, or closed: both may be the end of an answer.
    let _ = stream.read_to_end(&mut answer);
    text(&answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_asks_nothing_whole_is_closed() {
    let settings = Settings::with("[api.limits]\nheader_timeout_ms = 50\n").await;
    let service = settings.serve().await;
    let address = service.address;
    let half = tokio::task::spawn_blocking(move || {
        let mut stream = connect(address);
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: loc").unwrap();
        // Fails at the deadline where the connection stays open.
        stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind())
    });
    let ended = half.await.unwrap();
    assert!(!matches!(ended, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)), "{ended:?}");
    assert_eq!(get(&service, "/livez", &[]).await.0, 200);
    service.stop().await.unwrap();
}
