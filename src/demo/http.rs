//! The two HTTP requests an engine's keeper needs: is it up, and stop.
//!
//! In: a port of this machine, a request. Out: the status it answered with.
//!
//! # Invariants
//! - Loopback only; one request a connection; no wait is longer than `timeout`.
//! - No more than the status line is read: an engine that is ending may never close the
//!   connection of the request that ended it.
//!
//! A page of std instead of a client: the launcher process must start no runtime, no pool and no
//! thread of its own beside the engine.
//!
//! Deliberately unknown here: ClickHouse.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Sends one request to this machine; the status of the answer.
pub(super) fn status(
    port: u16,
    method: &str,
    path: &str,
    body: &str,
    timeout: Duration,
) -> io::Result<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let status = line.strip_prefix("HTTP/").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;

    /// Answers one request and keeps the connection open until the client has its status.
    fn answer(response: &'static str) -> io::Result<u16> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            // The request may come in pieces; it ends with its body.
            let (mut request, mut piece) = (Vec::new(), [0; 1024]);
            while !request.ends_with(b"SELECT 1") {
                let read = stream.read(&mut piece)?;
                assert!(read > 0, "the client hung up before its request ended");
                request.extend_from_slice(&piece[..read]);
            }
            stream.write_all(response.as_bytes())?;
            stream.read(&mut piece)
        });
        let answer = status(port, "POST", "/", "SELECT 1", Duration::from_secs(5));
        assert!(server.join().unwrap().is_ok_and(|read| read == 0), "the client hung up");
        answer
    }

    #[test]
    fn the_status_is_there_before_the_answer_has_ended() {
        assert_eq!(answer("HTTP/1.0 200 OK\r\n").unwrap(), 200);
        assert_eq!(answer("HTTP/1.1 500 Oh\r\nA: b\r\n\r\nCode: 1").unwrap(), 500);
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        assert!(answer("hello\r\n").is_err());
        assert!(answer("HTTP/1.1 yes\r\n").is_err());
    }
}
