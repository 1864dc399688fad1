//! Ports a broker has left, forwarded to where it is now: elsewhere it would have kept its address.
//!
//! In: connections to an old port. Out: the same bytes, at the newest.
//!
//! # Invariants
//! - All old ports lead to the newest one.
//!
//! Deliberately unknown here: Kafka.

use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;

/// The ports of one broker.
#[derive(Default)]
pub struct Forward {
    newest: Arc<AtomicU16>,
}

impl Forward {
    /// It was there, and is here now. The old port is listened on until this process ends.
    pub fn moved(&self, old: u16, new: u16) {
        self.newest.store(new, Ordering::Relaxed);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, old)).unwrap();
        let newest = Arc::clone(&self.newest);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let port = newest.load(Ordering::Relaxed);
                // Nobody there, just now: the client sees an end, and tries again.
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
                let _ = both_ways(client, server);
            }
        });
    }
}

fn both_ways(client: TcpStream, server: TcpStream) -> io::Result<()> {
    for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        thread::spawn(move || {
            // However it ends, the other side is to see an end.
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}
