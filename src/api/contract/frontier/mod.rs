//! raystack/frontier: `/v1beta1/organizations/{org_id}/auditlogs`.
//!
//! In: a batch of logs, or filters. Out: `{}`, `{"logs": […]}`, `{"log": …}`, or a
//! `google.rpc.Status`.
//!
//! # Invariants
//! - `docs/CONTRACTS.md` says what holds, statement by statement (F1 and on).
//! - What is wrong with a request is said before who asks.
//! - An organisation that is not the caller's cannot be told from one that does not exist.
//!
//! Deliberately unknown here: where logs go, how they are found.

mod answer;
mod batch;
mod question;
#[cfg(test)]
mod tests;

use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json};
use serde_json::{Value, json};

use self::question::Question;
use super::desk::{Desk, opened};
use super::walk::LONGEST;
use super::{Asked, Contract, Endpoint};
use crate::access::{Caller, Role};
use crate::api::render::rendered;
use crate::api::write::Submission;
use crate::api::{Refusal, Rows};
use crate::query::{Query, Selection};

const SCHEMA: &str = "frontier";

pub(super) const CONTRACT: Contract = Contract {
    name: SCHEMA,
    settings: |compat| &compat.frontier,
    roots: &["/v1beta1"],
    endpoints: |api, topic| {
        let handlers = [
            (Method::GET, "/v1beta1/organizations/{org_id}/auditlogs", get(list)),
            (Method::POST, "/v1beta1/organizations/{org_id}/auditlogs", post(create)),
            (Method::GET, "/v1beta1/organizations/{org_id}/auditlogs/{id}", get(one)),
        ];
        Endpoint::over(&Desk::new(api, SCHEMA, topic), handlers)
    },
    words,
};

async fn create(
    State(desk): State<Desk>,
    Path(org_id): Path<String>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let (head, body) = opened(request).await?;
    check_org_id(&org_id, "CreateOrganizationAuditLogsRequest")?;
    batch::check(&body)?;
    let caller = desk.caller(&head, &body, Role::Writer).await?;
    let tenant = organisation(&desk, &caller, &org_id)?;
    let at = (desk.api.now)();
    let (filled, headers) = (Vec::new(), &head.headers);
    let what = Submission { caller: &caller, tenant: &tenant, at, filled, headers, body };
    let written = desk.writer.write(what).await?;
    written.until_seen(&*desk.api.reader).await;
    Ok(Json(json!({})))
}

async fn list(
    State(desk): State<Desk>,
    Path(org_id): Path<String>,
    request: Request,
) -> Result<(Extension<Rows>, Response), Refusal> {
    let (head, body) = opened(request).await?;
    check_org_id(&org_id, "ListOrganizationAuditLogsRequest")?;
    let question = Question::read(&head.uri)?;
    let caller = desk.caller(&head, &body, Role::Reader).await?;
    let tenant = organisation(&desk, &caller, &org_id)?;
    let now = (desk.api.now)();
    let selection = question.selection(tenant.clone(), now);
    let mut query = Query { raw: true, ..Query::new(selection, LONGEST) };
    let page = desk.api.reader.page(&query).await?;
    if page.next.is_some() {
        let detail = format!("more than {LONGEST} logs; give start_time and end_time");
        return Err(Refusal::parameter("start_time", detail));
    }
    if page.events.is_empty() && caller.role >= Role::Auditor {
        query.selection = Question::default().selection(tenant, now);
        must_exist(&desk, query).await?;
    }
    let rows = Rows(page.events.len() as u64);
    let answer = rendered(move || {
        let logs: Vec<Value> = page.events.iter().map(answer::log).collect();
        Ok(json!({ "logs": logs }))
    });
    Ok((Extension(rows), answer.await))
}

async fn one(
    State(desk): State<Desk>,
    Path((org_id, id)): Path<(String, String)>,
    request: Request,
) -> Result<(Extension<Rows>, Json<Value>), Refusal> {
    let (head, body) = opened(request).await?;
    check_org_id(&org_id, "GetOrganizationAuditLogRequest")?;
    let caller = desk.caller(&head, &body, Role::Reader).await?;
    let tenant = organisation(&desk, &caller, &org_id)?;
    let now = (desk.api.now)();
    let everything = Question::default().selection(tenant, now);
    let selection = Selection { filter: answer::of_id(&id), ..everything.clone() };
    let query = Query { raw: true, ..Query::new(selection, 2) };
    let page = desk.api.reader.page(&query).await?;
    let mut logs = page.events.iter().map(answer::log);
    if let Some(log) = logs.find(|log| log["id"] == id) {
        return Ok((Extension(Rows(1)), Json(json!({ "log": log }))));
    }
    if caller.role >= Role::Auditor {
        must_exist(&desk, Query::new(everything, 1)).await?;
    }
    Err(Refusal::NotFound("audit log doesn't exist".to_owned()))
}

/// The tenant of an organisation, where it is the caller's.
fn organisation(desk: &Desk, caller: &Caller, org_id: &str) -> Result<String, Refusal> {
    let tenant = desk.api.tenants.resolve(org_id);
    if caller.sees(tenant) {
        return Ok(tenant.to_owned());
    }
    Err(Refusal::Forbidden("user is not authorized to perform this action".to_owned()))
}

/// An organisation without any event is not there; only who sees all is told.
async fn must_exist(desk: &Desk, everything: Query) -> Result<(), Refusal> {
    let query = Query { limit: 1, raw: false, ..everything };
    let any = desk.api.reader.page(&query).await?;
    let absent = || Refusal::NotFound("org doesn't exist".to_owned());
    (!any.events.is_empty()).then_some(()).ok_or_else(absent)
}

fn check_org_id(org_id: &str, message: &str) -> Result<(), Refusal> {
    if org_id.chars().count() >= 3 {
        return Ok(());
    }
    let why = "value length must be at least 3 runes";
    Err(Refusal::parameter("org_id", format!("invalid {message}.OrgId: {why}")))
}

/// A `google.rpc.Status`, with the HTTP status that grpc-gateway gives its code.
fn words(refusal: &Refusal, _: &Asked) -> Response {
    let status = match refusal {
        Refusal::Timeout => StatusCode::GATEWAY_TIMEOUT,
        other => other.status(),
    };
    let code = match status.as_u16() {
        401 => 16,
        403 => 7,
        404 => 5,
        405 | 501 => 12,
        408 | 504 => 4,
        409 => 6,
        429 => 8,
        503 => 14,
        500.. => 13,
        _ => 3,
    };
    let message = match refusal {
        Refusal::Method(_) => "Method Not Allowed".to_owned(),
        other => other.detail(),
    };
    (status, Json(json!({ "code": code, "message": message, "details": [] }))).into_response()
}
