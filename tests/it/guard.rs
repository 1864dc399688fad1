//! What guarded engines need: certificates, a door that encrypts, an identity provider.
//!
//! In: a folder. Out: files, addresses.
//!
//! # Invariants
//! - Everything listens on 127.0.0.1 and ends with this process.
//! - The identity provider gives tokens that are not signed: Kafka takes those by default, for tests.
//!
//! Deliberately unknown here: what is tested.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Who asks the identity provider, and who that is for Kafka.
pub const OIDC_USER: &str = "trailhouse";

/// Files of an authority and a server of its own, for 127.0.0.1.
pub struct Certificates {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// The server's certificate and key in one file, as Kafka takes them.
    pub chain_and_key: PathBuf,
}

pub fn certificates(dir: &Path) -> Certificates {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    // One of the authority's own name would be taken for its own authority.
    params.distinguished_name.push(DnType::CommonName, "server");
    let server = params.signed_by(&key, &issuer).unwrap();
    let made = Certificates {
        authority: dir.join("authority.pem"),
        chain_and_key: dir.join("server.pem"),
    };
    std::fs::write(&made.authority, authority.pem()).unwrap();
    let both = format!("{}{}{}", key.serialize_pem(), server.pem(), authority.pem());
    std::fs::write(&made.chain_and_key, both).unwrap();
    made
}

/// An address that encrypts what goes to another of this machine.
pub fn encrypting_door(made: &Certificates, to: String) -> String {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(&made.chain_and_key).unwrap().collect();
    let key = PrivateKeyDer::from_pem_file(&made.chain_and_key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.unwrap(), key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (config, to) = (Arc::clone(&config), to.clone());
            thread::spawn(move || {
                let server = TcpStream::connect(to).unwrap();
                let connection = ServerConnection::new(config).unwrap();
                client.set_read_timeout(Some(TURN)).unwrap();
                server.set_read_timeout(Some(TURN)).unwrap();
                // Whoever does not believe us hangs up, which is what some tests want.
                let _ = relay(StreamOwned::new(connection, client), server);
            });
        }
    });
    address
}

/// One side is listened to for so long, then the other.
const TURN: Duration = Duration::from_millis(5);

fn relay(
    mut client: StreamOwned<ServerConnection, TcpStream>,
    mut server: TcpStream,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        if let Some(read) = heard(&mut client, &mut bytes)? {
            server.write_all(&bytes[..read])?;
        }
        if let Some(read) = heard(&mut server, &mut bytes)? {
            client.write_all(&bytes[..read])?;
        }
    }
}

/// What came within a turn; an error at the end.
fn heard(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<Option<usize>> {
    match from.read(bytes) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(read) => Ok(Some(read)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// An identity provider: its token endpoint, for who brings this secret.
pub fn token_endpoint(secret: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut length, mut authorization) = (0, String::new());
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                let lower = line.to_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if lower.starts_with("authorization:") {
                    authorization = line.trim().to_owned();
                }
            }
            let mut body = vec![0; length];
            let _ = reader.read_exact(&mut body);
            let known = format!("Basic {}", STANDARD.encode(format!("{OIDC_USER}:{secret}")));
            let (status, body) = match authorization.ends_with(&known) {
                true => ("200 OK", format!("{{\"access_token\":\"{}\"}}", token())),
                false => ("401 Unauthorized", "{\"error\":\"invalid_client\"}".to_owned()),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

fn token() -> String {
    let now_s = chrono::Utc::now().timestamp();
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    let claims = format!(
        "{{\"sub\":\"{OIDC_USER}\",\"iat\":{now_s},\"exp\":{},\"scope\":\"kafka\"}}",
        now_s + 300
    );
    format!("{}.{}.", part("{\"alg\":\"none\"}".to_owned()), part(claims))
}
