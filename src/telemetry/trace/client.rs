//! The way to the collector: the HTTP client that is here already.
//!
//! In: requests of the exporter, whose thread is none of tokio's. Out: answers.
//!
//! # Invariants
//! - A request ends within the time it is given, and an answer has an end.
//! - With `https://` the certificate is checked against this machine's authorities.
//!
//! Deliberately unknown here: what is sent.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;
use tokio_rustls::rustls::crypto::aws_lc_rs;

/// Of an answer; it only says what was not taken.
const MOST_BYTES: usize = 64 << 10;

type Answer = Result<Response<Bytes>, HttpError>;

/// Asks one collector.
#[derive(Debug, Clone)]
pub(super) struct Collector {
    way: Way,
    runtime: Handle,
    within: Duration,
}

#[derive(Debug, Clone)]
enum Way {
    Plain(Client<HttpConnector, Full<Bytes>>),
    Encrypted(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

impl Collector {
    /// A client whose requests run where this is called, and take no longer than this.
    pub(super) fn of(endpoint: &str, within: Duration) -> Result<Collector, String> {
        let client = Client::builder(TokioExecutor::new());
        let way = match endpoint.starts_with("https://") {
            false => Way::Plain(client.build_http()),
            true => {
                let provider = aws_lc_rs::default_provider();
                let connector = HttpsConnectorBuilder::new()
                    .with_provider_and_native_roots(provider)
                    .map_err(|error| format!("no certificates of authorities here: {error}"))?;
                Way::Encrypted(client.build(connector.https_only().enable_http1().build()))
            }
        };
        Ok(Collector { way, runtime: Handle::current(), within })
    }

    async fn ask(self, request: Request<Bytes>) -> Answer {
        let request = request.map(Full::new);
        let answer = match self.way {
            Way::Plain(client) => client.request(request).await?,
            Way::Encrypted(client) => client.request(request).await?,
        };
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MOST_BYTES).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    }
}

impl HttpClient for Collector {
    // As `async_trait` has it, which would be a crate for this one line.
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Answer> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        let (asking, within) = (self.clone().ask(request), self.within);
        // The sockets are tokio's, and so is the clock.
        let asked = self.runtime.spawn(async move {
            let answer = tokio::time::timeout(within, asking).await.unwrap_or_else(|late| {
                let late: HttpError = late.into();
                Err(late)
            });
            answer.inspect_err(|why| tracing::debug!(%why, "the collector does not answer"))
        });
        Box::pin(async move { asked.await? })
    }
}
