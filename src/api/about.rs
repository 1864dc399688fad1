//! `/v1/schemas` and `/v1/me`: what there is, and who asks.
//!
//! In: the mappings, a caller. Out: their outlines.
//!
//! # Invariants
//! - A mapping is told as its file says it; a caller as the credential says them.
//! - Nothing of a credential is answered, but whom it names.
//!
//! Deliberately unknown here: how records are mapped, how callers are told.

use axum::extract::State;
use axum::http::Uri;
use axum::{Extension, Json};
use serde::Serialize;

use super::ApiState;
use super::error::Problem;
use super::parameter::Parameters;
use crate::access::{Caller, Role};
use crate::schema::mapping::Mapping;

#[derive(Serialize)]
pub(super) struct Schemas {
    schemas: Vec<Schema>,
}

#[derive(Serialize)]
struct Schema {
    name: String,
    version: u16,
    about: String,
    /// The topics it claims.
    topics: Vec<String>,
    /// The fields it fills.
    fields: Vec<&'static str>,
    /// Without which a record is quarantined.
    required: Vec<&'static str>,
    /// The attributes it names.
    attributes: Vec<String>,
    /// Whether what no field takes goes to the attributes.
    rest: bool,
}

#[derive(Serialize)]
pub(super) struct Me {
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    email: String,
    role: &'static str,
    /// Whether every tenant's events may be seen.
    all_tenants: bool,
    tenants: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_tenant: Option<String>,
}

pub(super) async fn schemas(
    State(state): State<ApiState>,
    uri: Uri,
) -> Result<Json<Schemas>, Problem> {
    Parameters::read(&uri, &[], &[])?;
    Ok(Json(Schemas { schemas: (state.catalog)().mappings().map(Schema::of).collect() }))
}

pub(super) async fn me(
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Me>, Problem> {
    Parameters::read(&uri, &[], &[])?;
    Ok(Json(Me {
        role: caller.role.as_str(),
        all_tenants: caller.role >= Role::Auditor,
        id: caller.id,
        name: caller.name,
        email: caller.email,
        tenants: caller.tenants.into_iter().collect(),
        default_tenant: caller.default_tenant,
    }))
}

impl Schema {
    fn of(mapping: &Mapping) -> Schema {
        Schema {
            name: mapping.name.clone(),
            version: mapping.version,
            about: mapping.about.clone(),
            topics: mapping.when.topics.clone(),
            fields: mapping.fields.iter().map(|(field, _)| field.name()).collect(),
            required: mapping.required.iter().map(|field| field.name()).collect(),
            attributes: mapping.attributes.iter().map(|(name, _)| name.clone()).collect(),
            rest: mapping.rest,
        }
    }
}
