//! `/openapi.json` and `/docs`: the native API, for programs and for people.
//!
//! In: nothing. Out: files that were built in.
//!
//! # Invariants
//! - The document names every route of ours, and every parameter of those that ask; tests compare.
//! - The page loads nothing from elsewhere, and its policy forbids it to.
//!
//! Deliberately unknown here: what the routes do.

use axum::extract::Path;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};

use super::error::Problem;

/// The document, kept by hand.
pub(super) const OPENAPI: &str = include_str!("../../deploy/openapi.json");

/// The routes of this file, which a process without questions does not have.
pub(super) const PATHS: [&str; 3] = ["/openapi.json", "/docs", "/docs/{file}"];

/// The page's script sets styles by itself, element by element, which this allows.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; \
                      style-src 'self'; img-src 'self' data:";

const PAGE: &[u8] = include_bytes!("../../deploy/docs/index.html");

/// A file of the page: name, type, whether it is packed, bytes.
type File = (&'static str, &'static str, bool, &'static [u8]);

const SCRIPT: &str = "text/javascript; charset=utf-8";
const FILES: [File; 3] = [
    ("start.js", SCRIPT, false, include_bytes!("../../deploy/docs/start.js")),
    (
        "swagger-ui-bundle.js",
        SCRIPT,
        true,
        include_bytes!("../../deploy/docs/swagger-ui-bundle.js.gz"),
    ),
    (
        "swagger-ui.css",
        "text/css; charset=utf-8",
        true,
        include_bytes!("../../deploy/docs/swagger-ui.css.gz"),
    ),
];

pub(super) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

pub(super) async fn page() -> impl IntoResponse {
    let kind = (header::CONTENT_TYPE, "text/html; charset=utf-8");
    ([kind, (header::CONTENT_SECURITY_POLICY, POLICY)], PAGE)
}

pub(super) async fn file(Path(name): Path<String>, uri: Uri) -> Result<Response, Problem> {
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let absent = || Problem::not_found(uri.path(), "the page has no such file".to_owned());
    let (_, kind, is_packed, bytes) = found.ok_or_else(absent)?;
    let kind = [(header::CONTENT_TYPE, *kind)];
    // Every browser unpacks; the bytes are kept as they are sent.
    let packed = is_packed.then_some([(header::CONTENT_ENCODING, "gzip")]);
    Ok((kind, packed, *bytes).into_response())
}
