//! Who is answered where nobody needs a credential: programs of this machine, and no page of another
//! site, which a browser of this machine would let ask in its user's name.
//!
//! In: a request's `Host` and `Origin`. Out: the request, or a refusal.
//!
//! # Invariants
//! - `Host` is a loopback address, `localhost`, or one of `api.hosts`: a name that somebody else may
//!   point at this machine (DNS rebinding) is none of them. A request without one is from no browser.
//! - `Origin`, which a browser sends with whatever another site's page writes, is the one that was asked,
//!   or one of `api.cors.origins`.
//!
//! Deliberately unknown here: credentials, routes.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

use super::config::ApiConfig;
use super::refusal::Refusal;

/// What is taken for this machine, and for its pages.
struct Home {
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// Routes that answer this machine alone.
pub(super) fn around(routes: Router, config: &ApiConfig) -> Router {
    let home = Home { hosts: config.hosts.clone(), origins: config.cors.origins.clone() };
    routes.layer(from_fn_with_state(Arc::new(home), from_home))
}

async fn from_home(
    State(home): State<Arc<Home>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    home.check(request.headers())?;
    Ok(next.run(request).await)
}

impl Home {
    fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = only(headers, header::HOST)?;
        if let Some(host) = host
            && !self.is_ours(host)
        {
            let why = format!(
                "without authentication {host} is not answered for: ask by a loopback address, or \
                 name it in api.hosts"
            );
            return Err(Refusal::Forbidden(why));
        }
        let Some(origin) = only(headers, header::ORIGIN)? else { return Ok(()) };
        let is_listed = self.origins.iter().any(|listed| listed == origin);
        let of_host = origin.split_once("://").map(|(_, host)| host);
        if is_listed || of_host.is_some() && of_host == host {
            return Ok(());
        }
        let why = format!(
            "without authentication pages of {origin} are not answered; name it in api.cors.origins"
        );
        Err(Refusal::Forbidden(why))
    }

    fn is_ours(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        name.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address| address.to_canonical().is_loopback())
            || self.hosts.iter().any(|listed| listed.eq_ignore_ascii_case(name))
    }
}

/// The value of a header that is sent once.
fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Refusal> {
    let mut given = headers.get_all(&name).iter();
    let Some(value) = given.next() else { return Ok(None) };
    match (value.to_str(), given.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(Refusal::header(name.as_str(), format!("{name} must be one readable value"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_its_pages_are_answered_and_no_other_site_s() {
        let home = Home {
            hosts: vec!["audit.example".to_owned()],
            origins: vec!["https://console.example".to_owned()],
        };
        for (host, origin, is_answered) in [
            ("", "", true),
            ("localhost", "", true),
            ("LOCALHOST:8080", "", true),
            ("127.0.0.1:8080", "", true),
            ("127.9.9.9", "", true),
            ("[::1]:8080", "", true),
            ("[::ffff:127.0.0.1]:8080", "", true),
            ("audit.example", "", true),
            ("Audit.Example:443", "", true),
            ("evil.example:8080", "", false),
            ("localhost.evil.example", "", false),
            ("127.0.0.1.evil.example", "", false),
            ("192.0.2.1:8080", "", false),
            ("0.0.0.0:8080", "", false),
            ("a b", "", false),
            ("127.0.0.1:8080", "http://127.0.0.1:8080", true),
            ("audit.example", "https://audit.example", true),
            ("127.0.0.1:8080", "https://console.example", true),
            ("", "https://console.example", true),
            ("127.0.0.1:8080", "https://evil.example", false),
            ("127.0.0.1:8080", "http://127.0.0.1:3000", false),
            ("127.0.0.1:8080", "null", false),
            ("", "https://evil.example", false),
            ("evil.example", "http://evil.example", false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
                if !value.is_empty() {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            let answered = home.check(&headers);
            assert_eq!(answered.is_ok(), is_answered, "{host} {origin}: {answered:?}");
        }
    }

    #[test]
    fn a_host_that_is_sent_twice_is_refused() {
        let home = Home { hosts: Vec::new(), origins: Vec::new() };
        let mut headers = HeaderMap::new();
        for host in ["127.0.0.1", "evil.example"] {
            headers.append(header::HOST, host.parse().unwrap());
        }
        assert!(home.check(&headers).is_err());
    }
}
