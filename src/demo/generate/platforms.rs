//! Bodies of the platforms everybody runs on: AWS, Kubernetes, GitHub, Okta.
//!
//! In: a scene (who, whose, when, whether it failed) and dice. Out: the JSON.
//!
//! # Invariants
//! - Field names and the spelling of values are the vendors'; people, addresses and accounts are
//!   invented, addresses from the blocks reserved for documentation.
//!
//! Deliberately unknown here: how mapping files read this.

use chrono::SecondsFormat::{Micros, Millis, Secs};
use serde_json::{Value, json};

use super::{Dice, PEOPLE, Scene, USER_AGENTS};

pub(super) fn aws_cloudtrail(scene: &Scene, dice: &mut Dice) -> Value {
    let (source, name, reads) = *dice.pick(&[
        ("ec2.amazonaws.com", "DescribeInstances", true),
        ("ec2.amazonaws.com", "TerminateInstances", false),
        ("s3.amazonaws.com", "GetBucketPolicy", true),
        ("s3.amazonaws.com", "PutBucketPolicy", false),
        ("iam.amazonaws.com", "CreateUser", false),
        ("iam.amazonaws.com", "AttachRolePolicy", false),
        ("kms.amazonaws.com", "Decrypt", true),
        ("sts.amazonaws.com", "AssumeRole", true),
    ]);
    let account = scene.tenant.aws;
    let role = "operations";
    // As recorded: one address in eight is a service's name, one request in nine has no parameters.
    let address = match dice.below(8) {
        0 => "cloudformation.amazonaws.com".to_owned(),
        _ => dice.ip(),
    };
    let parameters = match dice.below(9) {
        0 => Value::Null,
        limit => json!({ "roleName": role, "maxResults": limit }),
    };
    let mut body = json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": format!("AROAEXAMPLEROLE:{}", scene.who.login),
            "arn": format!("arn:aws:sts::{account}:assumed-role/{role}/{}", scene.who.login),
            "accountId": account,
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role",
                    "principalId": "AROAEXAMPLEROLE",
                    "accountId": account,
                    "userName": role,
                },
                "attributes": { "creationDate": scene.time(Secs), "mfaAuthenticated": "true" },
            },
        },
        "eventTime": scene.time(Secs),
        "eventSource": source,
        "eventName": name,
        "awsRegion": dice.pick(&["eu-central-1", "eu-west-1", "us-east-1"]),
        "sourceIPAddress": address,
        "userAgent": "aws-cli/2.27.1 exec-env/CloudShell",
        "requestParameters": parameters,
        "responseElements": null,
        "requestID": dice.uuid(),
        "eventID": dice.uuid(),
        "readOnly": reads,
        "eventType": "AwsApiCall",
        "managementEvent": true,
        "recipientAccountId": account,
        "eventCategory": "Management",
    });
    if scene.failed {
        body["errorCode"] = json!("AccessDenied");
        body["errorMessage"] =
            json!(format!("{} is not authorized to perform {name}", scene.who.login));
    }
    body
}

pub(super) fn kubernetes_audit(scene: &Scene, dice: &mut Dice) -> Value {
    let (verb, resource, subresource, code) = *dice.pick(&[
        ("get", "pods", "", 200),
        ("list", "secrets", "", 200),
        ("create", "pods", "exec", 101),
        ("create", "deployments", "", 201),
        ("patch", "configmaps", "", 200),
        ("delete", "pods", "", 200),
        ("create", "rolebindings", "", 201),
    ]);
    let namespace = *dice.pick(&["shop", "billing", "kube-system"]);
    let name = format!("web-{:x}", dice.below(0xffff));
    let path = format!("/api/v1/namespaces/{namespace}/{resource}/{name}");
    let (user, groups) = if dice.one_in(3) {
        (
            format!("system:serviceaccount:{namespace}:deployer"),
            ["system:serviceaccounts", "system:authenticated"],
        )
    } else {
        (scene.mail(), ["developers", "system:authenticated"])
    };
    let mut object =
        json!({ "resource": resource, "namespace": namespace, "name": name, "apiVersion": "v1" });
    if !subresource.is_empty() {
        object["subresource"] = json!(subresource);
    }
    let status = if scene.failed {
        let message = format!("{resource} is forbidden");
        json!({ "status": "Failure", "reason": "Forbidden", "message": message, "code": 403 })
    } else {
        json!({ "metadata": {}, "code": code })
    };
    json!({
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": dice.uuid(),
        "stage": "ResponseComplete",
        "requestURI": format!("{path}?fieldManager=kubectl-client-side-apply&fieldValidation=Strict"),
        "verb": verb,
        "user": { "username": user, "uid": scene.person_id(), "groups": groups },
        "sourceIPs": [dice.ip(), "10.0.0.7"],
        "userAgent": "kubectl/v1.33.2 (linux/amd64) kubernetes/a57b6f7",
        "objectRef": object,
        "responseStatus": status,
        "requestReceivedTimestamp": scene.time(Micros),
        "stageTimestamp": scene.time(Micros),
        "annotations": {
            "authorization.k8s.io/decision": if scene.failed { "forbid" } else { "allow" },
            "authorization.k8s.io/reason": "RBAC: allowed by RoleBinding \"developers\"",
        },
    })
}

pub(super) fn github_audit(scene: &Scene, dice: &mut Dice) -> Value {
    let (action, kind) = *dice.pick(&[
        ("repo.create", "create"),
        ("repo.destroy", "remove"),
        ("git.push", "modify"),
        ("git.clone", "access"),
        ("team.add_member", "create"),
        ("org.update_member", "modify"),
        ("protected_branch.policy_override", "modify"),
        ("hook.create", "create"),
    ]);
    let org = scene.tenant.id;
    let millis = scene.at / 1_000;
    // Git and repository events carry the empty user that the vendor writes there.
    let member = action.ends_with("_member");
    let (user, user_id) = if member { (dice.pick(&PEOPLE).login, 77_000) } else { ("", 0) };
    let bot = dice.one_in(5);
    json!({
        "@timestamp": millis,
        "_document_id": dice.hex(),
        "action": action,
        "actor": if bot { "deploy-app[bot]" } else { scene.who.login },
        "actor_id": 10_000 + scene.person_id().as_u128() as u64 % 90_000,
        "actor_ip": dice.ip(),
        "actor_is_bot": bot,
        "actor_location": { "country_code": dice.pick(&["NL", "DE", "US", "JP"]) },
        "business": format!("{org}-enterprise"),
        "business_id": 7_000,
        "created_at": millis,
        "external_identity_nameid": scene.mail(),
        "external_identity_username": scene.who.login,
        "hashed_token": format!("{}{}=", dice.hex(), dice.hex()),
        "operation_type": kind,
        "org": org,
        "org_id": 42_000,
        "programmatic_access_type": dice.pick(&["OAuth access token", "GitHub App server-to-server token"]),
        "public_repo": false,
        "repo": format!("{org}/service-{}", dice.below(60)),
        "repo_id": 900_000 + dice.below(60),
        "request_id": dice.uuid(),
        "token_id": dice.below(1_000_000),
        "user": user,
        "user_agent": dice.pick(&USER_AGENTS),
        "user_id": user_id,
    })
}

pub(super) fn okta_system(scene: &Scene, dice: &mut Dice) -> Value {
    let (event, message) = *dice.pick(&[
        ("user.session.start", "User login to Okta"),
        ("user.session.end", "User logout from Okta"),
        ("user.authentication.sso", "User single sign on to app"),
        ("group.user_membership.add", "Add user to group membership"),
        ("user.account.privilege.grant", "Grant user privilege"),
        ("policy.lifecycle.update", "Update policy"),
        ("system.api_token.revoke", "Revoke API token"),
    ]);
    let (result, reason) = if scene.failed {
        ("FAILURE", json!("INVALID_CREDENTIALS"))
    } else {
        ("SUCCESS", Value::Null)
    };
    json!({
        "uuid": dice.uuid(),
        "published": scene.time(Millis),
        "eventType": event,
        "version": "0",
        "severity": if scene.failed { "WARN" } else { "INFO" },
        "displayMessage": message,
        "actor": {
            "id": format!("00u{}", &scene.person_id().simple().to_string()[..12]),
            "type": "User",
            "alternateId": scene.mail(),
            "displayName": scene.who.name,
        },
        "client": {
            "userAgent": {
                "rawUserAgent": dice.pick(&USER_AGENTS),
                "os": "Linux",
                "browser": "FIREFOX",
            },
            "zone": "null",
            "device": "Computer",
            "ipAddress": dice.ip(),
            "geographicalContext": {
                "city": "Utrecht", "state": "Utrecht", "country": "Netherlands",
                "geolocation": { "lat": 52.0907, "lon": 5.1214 },
            },
        },
        "outcome": { "result": result, "reason": reason },
        "target": [{
            "id": format!("0oa{}", &dice.hex()[..12]),
            "type": "AppInstance",
            "alternateId": "Payroll",
            "displayName": "Payroll",
        }],
        "transaction": { "type": "WEB", "id": dice.hex(), "detail": {} },
        "debugContext": { "debugData": { "requestId": dice.hex(), "threatSuspected": "false" } },
        "authenticationContext": { "authenticationStep": 0, "externalSessionId": dice.hex() },
        "securityContext": { "asNumber": 64_500, "isProxy": false },
    })
}
