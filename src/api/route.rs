//! One route of ours, and the door before it.
//!
//! In: a [`Route`] of the list. Out: the same route in a router, which answers nobody whom it does
//! not know, and nobody who may not ask it.
//!
//! # Invariants
//! - A handler behind [`Who::Caller`] finds an `Extension<Caller>` of at least that role in its
//!   request, and what they were told by. No such handler runs without.
//! - The body is read before the caller is told, for some credentials sign it; it is never longer
//!   than `api.limits.body_bytes`.
//!
//! Deliberately unknown here: what a credential is, what a route answers.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::MethodRouter;

use super::auth::{Admitted, Told};
use super::body;
use super::error::Problem;
use super::tail;
use super::{ApiState, LimitsConfig};
use crate::access::Role;

/// A method of a path, and who may ask it.
pub struct Route {
    /// The method; GET answers HEAD too.
    pub method: Method,
    /// The path, as axum writes it.
    pub path: &'static str,
    /// Who may ask.
    pub who: Who,
    handler: fn() -> MethodRouter<ApiState>,
}

/// Who may ask a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Anybody, without a credential: those who run us.
    Anybody,
    /// A caller who is at least this.
    Caller(Role),
}

impl Route {
    /// A route that anybody may ask.
    pub(super) const fn open(
        method: Method,
        path: &'static str,
        handler: fn() -> MethodRouter<ApiState>,
    ) -> Route {
        Route { method, path, who: Who::Anybody, handler }
    }

    /// A route for callers who are at least this.
    pub(super) const fn of(
        least: Role,
        method: Method,
        path: &'static str,
        handler: fn() -> MethodRouter<ApiState>,
    ) -> Route {
        Route { method, path, who: Who::Caller(least), handler }
    }
}

/// A router of some routes, each behind its door.
pub(super) fn router<'r>(
    routes: impl Iterator<Item = &'r Route>,
    state: &ApiState,
    limits: &LimitsConfig,
) -> Router<ApiState> {
    let mut router = Router::new();
    for route in routes {
        let mut methods = (route.handler)();
        if let Who::Caller(least) = route.who {
            let takes_tickets = route.path == tail::PATH;
            let door = Door { state: state.clone(), limits: limits.clone(), least, takes_tickets };
            methods = methods.route_layer(from_fn_with_state(door, admit));
        }
        router = router.route(route.path, methods);
    }
    router
}

#[derive(Clone)]
struct Door {
    state: ApiState,
    limits: LimitsConfig,
    least: Role,
    /// Whether a ticket does in place of a credential.
    takes_tickets: bool,
}

async fn admit(
    State(door): State<Door>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut head, body) = request.into_parts();
    let body = body::read(body, &door.limits).await?;
    let authenticator = &door.state.authenticator;
    let ticket = door.takes_tickets.then(|| door.state.tails.admitted(&head.uri)).flatten();
    let Admitted { caller, credential } = match ticket {
        Some(admitted) => {
            let admitted = admitted?;
            authenticator.holds(&admitted.credential).await?;
            if let Some(told) = head.extensions.get::<Told>() {
                told.tell(&admitted.caller);
            }
            admitted
        }
        None => door.state.admitted(&head, &body).await?,
    };
    if caller.role < door.least {
        return Err(Problem::forbidden(caller.role, door.least));
    }
    if caller.resellers.is_some() {
        return Err(Problem::resellers());
    }
    head.extensions.insert(caller);
    head.extensions.insert(credential);
    Ok(next.run(Request::from_parts(head, body.into())).await)
}
