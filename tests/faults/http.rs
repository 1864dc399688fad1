//! Just enough HTTP/1.1 to know where a message ends.
//!
//! In: bytes of a connection. Out: whole messages, byte for byte as they came.
//!
//! # Invariants
//! - A message that is cut off is an error; an end between two messages is not.
//!
//! Deliberately unknown here: who talks to whom.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

/// A request or a response.
pub struct Message {
    /// First line and headers, with the empty line.
    head: Vec<u8>,
    /// The rest as it travels, with a chunked body's framing.
    framed: Vec<u8>,
    /// The body itself.
    body: Vec<u8>,
}

impl Message {
    /// The next one; `None` where the connection ended before it began.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Message>> {
        let mut head = Vec::new();
        loop {
            let begun = head.len();
            if from.read_until(b'\n', &mut head)? == 0 {
                return if begun == 0 { Ok(None) } else { Err(ended()) };
            }
            if head[begun..] == *b"\r\n" {
                break;
            }
        }
        let mut message = Message { head, framed: Vec::new(), body: Vec::new() };
        let chunked = message.header("transfer-encoding").is_some_and(|value| value == "chunked");
        if chunked {
            while message.read_chunk(from)? {}
        } else {
            let length = message.header("content-length").and_then(|value| value.parse().ok());
            message.body.resize(length.unwrap_or(0), 0);
            from.read_exact(&mut message.body)?;
            message.framed.clone_from(&message.body);
        }
        Ok(Some(message))
    }

    /// Whether a further chunk follows.
    fn read_chunk(&mut self, from: &mut impl BufRead) -> io::Result<bool> {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line)?;
        let text = String::from_utf8_lossy(&line);
        let size = text.trim().split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(size, 16).map_err(|_| ended())?;
        self.framed.extend_from_slice(&line);
        let begun = self.framed.len();
        // The data, or nothing where it is the last one, and the line's end.
        if from.by_ref().take(size + 2).read_to_end(&mut self.framed)? as u64 != size + 2 {
            return Err(ended());
        }
        let end = self.framed.len() - 2;
        self.body.extend_from_slice(&self.framed[begun..end]);
        Ok(size > 0)
    }

    /// A response's status.
    pub fn status(&self) -> u16 {
        let line = String::from_utf8_lossy(&self.head);
        line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// A request's query string, decoded.
    pub fn query(&self) -> String {
        let line = self.head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let mut decoded = Vec::with_capacity(line.len());
        let mut rest = line;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
            let code = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
            match (byte, code) {
                (b'%', Some(code)) => {
                    decoded.push(code);
                    rest = &after[2..];
                }
                (b'+', _) => decoded.push(b' '),
                _ => decoded.push(byte),
            }
        }
        String::from_utf8_lossy(&decoded).into_owned()
    }

    /// All of it, as it came.
    pub fn bytes(&self) -> Vec<u8> {
        [&*self.head, &*self.framed].concat()
    }

    fn header(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.head).to_ascii_lowercase();
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.map(|value| value.trim().to_owned())
    }
}

/// A connection to a port of this machine.
pub fn connect(port: u16) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// Send a request over a connection that is kept, or a new one where it was closed while idle.
pub fn ask(
    kept: &mut Option<BufReader<TcpStream>>,
    port: u16,
    request: &[u8],
) -> io::Result<Message> {
    let is_there = |kept: &BufReader<TcpStream>| {
        let stream = kept.get_ref();
        let quiet = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
        let right = stream.peer_addr().is_ok_and(|peer| peer.port() == port);
        stream.set_nonblocking(false).is_ok()
            && right
            && quiet.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    };
    let mut upstream = match kept.take().filter(is_there) {
        Some(upstream) => upstream,
        None => connect(port)?,
    };
    upstream.get_mut().write_all(request)?;
    let reply = Message::read(&mut upstream)?.ok_or_else(ended)?;
    *kept = Some(upstream);
    Ok(reply)
}

/// A response of our own.
pub fn answer(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Fault\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// A connection that ended too early.
pub fn ended() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}
