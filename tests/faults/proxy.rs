//! A fault proxy before ClickHouse's HTTP interface.
//!
//! In: requests of the program under test. Out: ClickHouse's answers, or what a [`Plan`] makes of
//! them: lost requests, lost replies, late originals, refusals, replies cut in half.
//!
//! # Invariants
//! - A request is read whole before its fate is decided, so "lost" is never half applied; only
//!   [`Fate::Torn`] sends half of one.
//! - The address stays the same while ClickHouse is restarted behind it.
//! - What was done is counted when it has been done; nothing is timed but [`Fate::Slow`].
//!
//! Deliberately unknown here: Trailhouse, and what the statements mean.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::DEADLINE;
use crate::http::{self, Message};

/// What becomes of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Forwarded, and the reply given back.
    Pass,
    /// The connection ends before anything is forwarded.
    Lost,
    /// Applied; the connection ends without the reply.
    ReplyLost,
    /// Applied; the connection ends in the middle of the reply.
    ReplyTorn,
    /// The connection ends; a copy is kept and goes to ClickHouse at [`Proxy::send_late`].
    Late,
    /// Applied, the connection ends without the reply, and a copy is kept as for `Late`.
    AppliedAndLate,
    /// Waits, with the client, until [`Proxy::release`]; then passes.
    Held,
    /// Half of it is forwarded; the rest never comes, and at [`Proxy::release`] both
    /// connections end.
    Torn,
    /// Forwarded after this long.
    Slow(Duration),
    /// Answered by the proxy with this status and body; ClickHouse sees nothing.
    Answer(u16, String),
}

impl Fate {
    fn name(&self) -> &'static str {
        match self {
            Fate::Pass => "passed",
            Fate::Lost => "request lost",
            Fate::ReplyLost => "reply lost",
            Fate::ReplyTorn => "reply torn",
            Fate::Late => "late",
            Fate::AppliedAndLate => "applied and late",
            Fate::Held => "held",
            Fate::Torn => "request torn",
            Fate::Slow(_) => "slow",
            Fate::Answer(..) => "answered",
        }
    }
}

/// What a plan sees of a request.
pub struct Asked<'r> {
    /// The query string, decoded: settings, the token, an INSERT's statement.
    pub query: &'r str,
}

impl Asked<'_> {
    /// Whether it is an INSERT into a table.
    pub fn inserts(&self, table: &str) -> bool {
        self.query.contains(&format!("INSERT INTO {table} "))
    }

    /// Whether it is an INSERT into any table.
    pub fn is_insert(&self) -> bool {
        self.query.contains("INSERT INTO ")
    }
}

/// Decides over each request, in the order of their arrival.
pub type Plan = Box<dyn FnMut(&Asked<'_>) -> Fate + Send>;

/// A running proxy. Dropping it ends its connections.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    target: u16,
    plan: Plan,
    deaf: bool,
    ended: bool,
    /// How often `release` was called; who waits, waits for the next.
    releases: u64,
    late: Vec<Vec<u8>>,
    counts: BTreeMap<&'static str, u64>,
    connections: Vec<TcpStream>,
}

impl Proxy {
    /// Listens on a free port, before ClickHouse at `target`.
    pub fn start(target: u16) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State {
            target,
            plan: Box::new(|_| Fate::Pass),
            deaf: false,
            ended: false,
            releases: 0,
            late: Vec::new(),
            counts: BTreeMap::new(),
            connections: Vec::new(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut state = own.state();
                if state.ended {
                    return;
                }
                if state.deaf {
                    *state.counts.entry("connections refused").or_default() += 1;
                    continue;
                }
                let Ok(end) = client.try_clone() else { continue };
                state.connections.extend(client.try_clone());
                drop(state);
                let own = Arc::clone(&own);
                thread::spawn(move || {
                    // An error is the end of one of the two connections: so is it of the other.
                    let _ = own.serve(client);
                    let _ = end.shutdown(Shutdown::Both);
                });
            }
        });
        Proxy { port, shared }
    }

    /// What clients are given.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Decide by this plan from now on.
    pub fn plan(&self, plan: impl FnMut(&Asked<'_>) -> Fate + Send + 'static) {
        self.shared.state().plan = Box::new(plan);
    }

    /// Let everything pass again, and whoever waits go on.
    pub fn heal(&self) {
        self.plan(|_| Fate::Pass);
        self.deaf(false);
        self.release();
    }

    /// ClickHouse is somewhere else now.
    pub fn target(&self, port: u16) {
        self.shared.state().target = port;
    }

    /// Whether connections are refused; those that stand are cut.
    pub fn deaf(&self, deaf: bool) {
        let mut state = self.shared.state();
        state.deaf = deaf;
        if deaf {
            state.cut();
        }
    }

    /// Let whoever is held go on.
    pub fn release(&self) {
        self.shared.state().releases += 1;
        self.shared.changed.notify_all();
    }

    /// Send the copies that were kept; the statuses ClickHouse answered.
    pub fn send_late(&self) -> Vec<u16> {
        let (target, late) = {
            let mut state = self.shared.state();
            (state.target, std::mem::take(&mut state.late))
        };
        assert!(!late.is_empty(), "nothing is late");
        let send = |request: &Vec<u8>| {
            let mut upstream = http::connect(target)?;
            upstream.get_mut().write_all(request)?;
            Message::read(&mut upstream)?.map(|reply| reply.status()).ok_or_else(http::ended)
        };
        late.iter().map(|request| send(request).unwrap()).collect()
    }

    /// How many copies are kept.
    pub fn late(&self) -> usize {
        self.shared.state().late.len()
    }

    /// How often something was done, by the name of its fate.
    pub fn count(&self, name: &str) -> u64 {
        self.shared.state().counts.get(name).copied().unwrap_or(0)
    }

    /// All that was done.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.shared.state().counts.clone()
    }

    /// Wait until something was done so often. Blocks.
    pub fn await_count(&self, name: &str, least: u64) {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.shared.state();
        while state.counts.get(name).copied().unwrap_or(0) < least {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {least} `{name}` within {DEADLINE:?}: {:?}", state.counts);
            state = self.shared.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.ended = true;
        state.releases += 1;
        state.cut();
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the listener, which sees that it has ended.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl State {
    fn cut(&mut self) {
        for connection in self.connections.drain(..) {
            // It may have ended by itself.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn serve(&self, client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut client = BufReader::new(client);
        let mut upstream = None;
        while let Some(request) = Message::read(&mut client)? {
            let (fate, target) = {
                let mut state = self.state();
                let query = request.query();
                let fate = (state.plan)(&Asked { query: &query });
                if matches!(fate, Fate::Late | Fate::AppliedAndLate) {
                    state.late.push(request.bytes());
                }
                (fate, state.target)
            };
            let goes_on = self.apply(&fate, &request, &mut client, &mut upstream, target);
            *self.state().counts.entry(fate.name()).or_default() += 1;
            self.changed.notify_all();
            if !goes_on? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the client's connection goes on.
    fn apply(
        &self,
        fate: &Fate,
        request: &Message,
        client: &mut BufReader<TcpStream>,
        upstream: &mut Option<BufReader<TcpStream>>,
        target: u16,
    ) -> io::Result<bool> {
        match fate {
            Fate::Lost | Fate::Late => return Ok(false),
            Fate::Answer(status, body) => {
                client.get_mut().write_all(&http::answer(*status, body))?;
                return Ok(true);
            }
            Fate::Torn => {
                let mut torn = http::connect(target)?;
                let bytes = request.bytes();
                torn.get_mut().write_all(&bytes[..bytes.len() / 2])?;
                self.await_release(fate);
                return Ok(false);
            }
            Fate::Held => self.await_release(fate),
            Fate::Slow(delay) => thread::sleep(*delay),
            Fate::Pass | Fate::ReplyLost | Fate::ReplyTorn | Fate::AppliedAndLate => {}
        }
        // Another one may run there since the connection was made.
        let target = if *fate == Fate::Held { self.state().target } else { target };
        let reply = http::ask(upstream, target, &request.bytes())?;
        if reply.status() >= 400 {
            *self.state().counts.entry("errors").or_default() += 1;
        }
        let reply = reply.bytes();
        match fate {
            Fate::ReplyLost | Fate::AppliedAndLate => Ok(false),
            Fate::ReplyTorn => {
                client.get_mut().write_all(&reply[..reply.len() / 2])?;
                Ok(false)
            }
            _ => {
                client.get_mut().write_all(&reply)?;
                Ok(true)
            }
        }
    }

    /// Counted as waiting, so that a test can wait for the wait.
    fn await_release(&self, fate: &Fate) {
        let waiting = if *fate == Fate::Torn { "waiting torn" } else { "waiting" };
        let mut state = self.state();
        *state.counts.entry(waiting).or_default() += 1;
        self.changed.notify_all();
        let seen = state.releases;
        while state.releases == seen && !state.ended {
            state = self.changed.wait(state).unwrap();
        }
    }
}
