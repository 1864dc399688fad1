//! Bodies of the five sources whose own APIs are served too.
//!
//! In: a scene (who, whose, when, whether it failed) and dice. Out: the JSON.
//!
//! # Invariants
//! - Field names and the spelling of values are the vendors'; people, addresses and accounts are
//!   invented, addresses from the blocks reserved for documentation.
//!
//! Deliberately unknown here: how mapping files read this.

use chrono::SecondsFormat::{Micros, Millis, Nanos, Secs};
use serde_json::{Value, json};

use super::{Dice, Scene, USER_AGENTS};

pub(super) fn pace(scene: &Scene, dice: &mut Dice) -> Value {
    let (service, action, kind) = *dice.pick(&[
        ("pay", "list_transactions", "transaction"),
        ("pay", "refund_transaction", "transaction"),
        ("pay", "create_payment_method", "payment-method"),
        ("pay", "delete_payment_method", "payment-method"),
        ("fueling", "start_fueling", "pump"),
        ("poi", "update_station", "station"),
        ("fleet", "block_card", "card"),
        ("user", "assign_role", "user"),
    ]);
    json!({
        "service": service,
        "actionName": action,
        "resource": {
            "identifier": dice.uuid(),
            "resourceType": kind,
        },
        "actionData": {
            "client": "fleet-portal/4.12.1",
            "page": dice.below(40),
            "amount": {
                "value": format!("{}.{:02}", dice.below(400), dice.below(100)),
                "currency": "EUR",
            },
            "station": { "id": dice.uuid(), "name": "Autohof Süd 12", "country": "DE" },
            "vehicle": {
                "plate": format!("KA-PC {}", dice.below(9_999)),
                "mileageKm": dice.below(300_000),
            },
            "filter": {
                "from": "2025-01-01T00:00:00Z",
                "to": "2025-12-31T23:59:59Z",
                "status": "settled",
            },
            "note": "Requested from the fleet overview after the monthly reconciliation.",
            "traceId": dice.hex(),
        },
        "actionDate": scene.time(Secs).replace('Z', "+00:00"),
    })
}

pub(super) fn frontier(scene: &Scene, dice: &mut Dice) -> Value {
    // Every eighth request carries two logs: one record, two events.
    if scene.n % 8 == 7 {
        let logs = [frontier_log(scene, dice, ""), frontier_log(scene, dice, "")];
        return json!({ "org_id": scene.tenant.id, "logs": logs });
    }
    let note = "Changed as agreed in the weekly access review; the previous state is kept in the \
                ticket and can be restored by an owner of the organisation.";
    json!({ "org_id": scene.tenant.id, "logs": [frontier_log(scene, dice, note)] })
}

fn frontier_log(scene: &Scene, dice: &mut Dice, note: &str) -> Value {
    let (source, action, kind) = *dice.pick(&[
        ("guardian-service", "project.create", "app/project"),
        ("guardian-service", "project.update", "app/project"),
        ("frontier", "app.user.updated", "app/user"),
        ("frontier", "app.policy.created", "app/policy"),
        ("frontier", "app.policy.deleted", "app/policy"),
        ("frontier", "app.permission.checked", "app/permission"),
        ("billing-service", "invoice.exported", "billing/invoice"),
        ("frontier", "user.login", "app/organization"),
    ]);
    json!({
        "id": dice.uuid(),
        "source": source,
        "action": action,
        "actor": { "id": scene.person_id(), "type": "app/user", "name": scene.who.name },
        "target": { "id": dice.uuid(), "type": kind, "name": format!("item-{}", dice.below(500)) },
        "context": {
            "ip": dice.ip(),
            "request_id": dice.uuid(),
            "channel": "console",
            "note": note,
            "ticket": format!("OPS-{}", dice.below(9_000)),
        },
        "created_at": scene.time(Nanos),
    })
}

pub(super) fn softwareone(scene: &Scene, dice: &mut Dice) -> Value {
    let (event, kind, summary) = *dice.pick(&[
        ("platform.commerce.order.created", "Order", "Order created"),
        ("platform.commerce.order.completed", "Order", "Order completed"),
        ("platform.commerce.agreement.updated", "Agreement", "Agreement updated"),
        ("platform.catalog.product.published", "Product", "Product published"),
        ("platform.accounts.user.invited", "User", "User invited"),
        ("extensions.renewals.subscription.terminated", "Subscription", "Subscription terminated"),
    ]);
    let prefix = kind[..3].to_uppercase();
    let object = format!("{prefix}-{:04}-{:04}", dice.below(9_999), dice.below(9_999));
    let request = if event.starts_with("extensions") {
        json!({ "worker": { "workerName": "renewal-scheduler" }, "log": { "operationId": dice.hex() } })
    } else {
        json!({
            "api": {
                "ip": dice.ip(),
                "geolocation": {
                    "countryCode": "NL",
                    "countryName": "Netherlands",
                    "region": "Utrecht",
                },
                "userAgent": dice.pick(&USER_AGENTS),
            },
            "log": { "requestId": dice.hex(), "operationId": dice.hex() },
        })
    };
    json!({
        "id": format!("AUD-{:04}-{:04}-{:04}", dice.below(9_999), dice.below(9_999), scene.n % 10_000),
        "event": event,
        "summary": summary,
        "details": format!("{summary}: {{{{object.name}}}} by {{{{actor.name}}}}."),
        "object": { "id": object, "name": object, "objectType": kind },
        "timestamp": scene.time(Millis),
        "actor": {
            "id": format!("USR-{}", &scene.person_id().to_string()[..8]),
            "name": scene.who.name,
            "account": {
                "id": scene.tenant.account,
                "name": scene.tenant.id,
                "accountType": "Client",
            },
        },
        "type": if dice.one_in(3) { "Public" } else { "Private" },
        "request": request,
        "documents": { "object": { "id": object, "status": "Draft", "revision": dice.below(30) } },
        "viewers": [{ "id": scene.tenant.account, "name": scene.tenant.id, "type": "Client" }],
    })
}

pub(super) fn cockpit(scene: &Scene, dice: &mut Dice) -> Value {
    let (operation, entity) = *dice.pick(&[
        ("CreateOrder", "Order"),
        ("CreateCustomer", "Customer"),
        ("UpdateSubscription", "Subscription"),
        ("DeleteUser", "User"),
        ("AssignLicense", "License"),
        ("SyncUsage", "Usage"),
    ]);
    let old = json!({
        "quantity": dice.below(50),
        "autoRenew": true,
        "term": "P1M",
        "friendlyName": "Main office",
        "billing": "prepaid",
        "contact": "licences@contoso.example",
    });
    let new = json!({
        "quantity": dice.below(50),
        "autoRenew": false,
        "term": "P1Y",
        "friendlyName": "Main office (renamed)",
        "billing": "postpaid",
        "contact": "licences@contoso.example",
    });
    let status = match (scene.failed, dice.below(6)) {
        (true, _) => "Failed",
        (_, 0) => "Processing",
        // The vendor's spelling.
        _ => "Succeded",
    };
    let message = if scene.failed {
        "The provider refused the request: the credit limit of the customer is reached."
    } else {
        "The operation was accepted by the provider and its result was stored."
    };
    json!({
        "id": dice.uuid(),
        "customer": dice.pick(&["Contoso", "Fabrikam", "Tailspin Toys"]),
        "reseller": "Northwind Cloud",
        "timestamp": scene.time(Micros).replace('Z', "+00:00"),
        "operation": operation,
        "status": { "name": status },
        "user": scene.mail(),
        "origin": { "name": dice.pick(&["User", "API", "System"]) },
        "entityType": entity,
        "entityId": dice.uuid(),
        "oldValues": if operation.starts_with("Create") { Value::Null } else { old },
        "newValues": if operation.starts_with("Delete") { Value::Null } else { new },
        "message": message,
        "correlationId": dice.uuid(),
    })
}

pub(super) fn bloodhound(scene: &Scene, dice: &mut Dice) -> Value {
    let action = *dice.pick(&[
        "LoginAttempt",
        "CreateUser",
        "UpdateUser",
        "DeleteAuthToken",
        "CreateAssetGroupTagSelector",
        "ExportAllRisks",
        "MutateGraph",
        "AcceptRisk",
    ]);
    let status = if scene.failed {
        "failure"
    } else if dice.one_in(3) {
        "intent"
    } else {
        "success"
    };
    let (host, tag) = (scene.tenant.id, dice.below(90));
    let url = format!("https://graph.{host}.example/api/v2/asset-group-tags/{tag}/selectors");
    // A proxy in front writes the client first, itself after.
    let proxies = if dice.one_in(4) { ", 10.0.0.12" } else { "" };
    let mut fields = json!({
        "principal_name": scene.who.login,
        "user_id": scene.person_id(),
        "auth_type": "Secret",
        "roles": ["Administrator", "Power User"],
        "selector": {
            "name": "Domain Controllers",
            "asset_group_tag_id": tag,
            "seeds": 4,
        },
        "request_url": url,
    });
    if scene.failed {
        fields["error"] = json!("the entity could not be found");
    }
    json!({
        "id": 1_000_000 + scene.n,
        "created_at": scene.time(Nanos),
        "actor_id": scene.person_id(),
        "actor_name": scene.who.login,
        "actor_email": scene.mail(),
        "action": action,
        "fields": fields,
        "request_id": dice.uuid(),
        "source_ip_address": format!("{}{proxies}", dice.ip()),
        "status": status,
        "source": "middleware",
        "commit_id": dice.uuid(),
    })
}
