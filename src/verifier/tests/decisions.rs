//! Every code, and which comes first.

use super::*;

fn denied(spec: Value, change: impl FnOnce(&mut Issued)) -> Option<Denial> {
    let mut issued = issued("ci", "1", spec);
    change(&mut issued);
    verify(&index(&[&issued]), &issued.token).err()
}

#[test]
fn a_good_key_is_allowed_and_named() {
    let issued = issued("ci", "1", json!({}));
    let index = index(&[&issued]);
    let call = Call { project: Some("shop"), ..CALL };
    let credentials = Credentials { token: issued.token.reveal(), id: Some(issued.id()) };
    let grant = decide(&index, Ok(credentials), Some(&call), at(0)).ok().unwrap();
    let key = &grant.key;
    assert_eq!((key.subject(), key.namespace(), key.name()), ("ns/ci", "ns", "ci"));
    assert_eq!(
        (key.id().as_str(), key.kind(), key.organization()),
        (issued.id(), KeyKind::Management, "acme")
    );
    assert_eq!((grant.project, grant.generation), (Some("shop"), 1));
}

#[test]
fn before_everything_is_listed_nothing_is_known() {
    let issued = issued("ci", "1", json!({}));
    let index = Index::new();
    index.applied(&acme(&["1"]));
    index.applied(&issued.key);
    Feed::<ManagementKey>::complete(&index, at(0));
    Feed::<Organization>::complete(&index, at(0));
    assert_eq!(verify(&index, &issued.token), Err(Denial::NotReady));
    Feed::<User>::complete(&index, at(0));
    assert_eq!(verify(&index, &issued.token), Ok("ci".into()));
    Feed::<ManagementKey>::restart(&index);
    assert_eq!(verify(&index, &issued.token), Ok("ci".into()));
}

#[test]
fn what_the_request_lacks_is_said_first() {
    let issued = issued("ci", "1", json!({}));
    let index = index(&[&issued]);
    let presented = Credentials { token: issued.token.reveal(), id: None };
    let error = |presented, call| decide(&index, presented, call, at(0)).err();
    assert_eq!(error(Ok(presented), None), Some(Denial::CallUnknown));
    assert_eq!(error(Err(Denial::NoToken), None), Some(Denial::CallUnknown));
    assert_eq!(error(Err(Denial::NoToken), Some(&CALL)), Some(Denial::NoToken));
    let wrong = Credentials { id: Some("3fK9aZ81bQ0x"), ..presented };
    assert_eq!(error(Ok(wrong), Some(&CALL)), Some(Denial::UnknownToken));
}

#[test]
fn an_unknown_key_and_a_wrong_secret_are_the_same() {
    let issued = issued("ci", "1", json!({}));
    let index = index(&[&issued]);
    let stranger = Token::mint(KeyKind::Management, KeyId::mint().unwrap()).unwrap();
    assert_eq!(verify(&index, &stranger), Err(Denial::UnknownToken));
    assert_eq!(verify(&index, &issued.next_token()), Err(Denial::UnknownToken));
    let broken = issued.token.reveal()[..67].to_owned() + "_";
    for text in [broken, "garbage".to_owned(), String::new()] {
        assert_eq!(verify(&index, &Token::from_existing(text)), Err(Denial::MalformedToken));
    }
}

#[test]
fn the_keys_state_refuses_it() {
    let owned = || json!({"owner": {"name": "jane"}});
    let recorded = |uid: &str| json!({"owner": {"name": "jane", "uid": uid}});
    assert_eq!(denied(json!({"suspended": true}), |_| {}), Some(Denial::Suspended));
    assert_eq!(denied(json!({}), |key| key.set(json!({"expiresAt": at(0)}))), Some(Denial::Expired));
    assert_eq!(denied(owned(), |_| {}), Some(Denial::OwnerNotFound));
    assert_eq!(denied(owned(), |key| key.set(recorded("j"))), Some(Denial::OwnerDeleted));
    assert_eq!(
        denied(json!({}), |key| key.set(json!({"organization": null}))),
        Some(Denial::OrganizationLocked)
    );
    assert_eq!(
        denied(json!({}), |key| key.set(json!({"organization": "gone"}))),
        Some(Denial::OrganizationLocked)
    );
    let deleting = |key: &mut Issued| key.key.metadata.deletion_timestamp = Some(at(0).into());
    assert_eq!(denied(json!({"suspended": true}), deleting), Some(Denial::Revoked));
    let ready = json!({"type": "Ready", "status": "False", "reason": "Expired", "message": "",
        "lastTransitionTime": at(0)});
    assert_eq!(denied(json!({}), |key| key.set(json!({"conditions": [ready]}))), Some(Denial::Expired));
}

#[test]
fn expiry_holds_by_the_clock_of_the_decision() {
    let mut issued = issued("ci", "1", json!({}));
    issued.set(json!({"expiresAt": at(10)}));
    let index = index(&[&issued]);
    assert_eq!(ask(&index, &issued.token, &CALL, at(9)), Ok("ci".into()));
    assert_eq!(ask(&index, &issued.token, &CALL, at(10)), Err(Denial::Expired));
}

#[test]
fn the_owner_and_the_organization_count_as_they_are_now() {
    let mut issued = issued("ci", "1", json!({"owner": {"name": "jane"}}));
    issued.set(json!({"owner": {"name": "jane", "uid": "j"}}));
    let index = index(&[&issued]);
    let verify = || verify(&index, &issued.token);
    index.applied(&jane("j", false));
    assert_eq!(verify(), Ok("ci".into()));
    index.applied(&jane("j", true));
    assert_eq!(verify(), Err(Denial::OwnerDisabled));
    index.applied(&jane("j", false));
    let mut locked = acme(&["1"]);
    locked.spec.management_api = Some(serde_json::from_value(json!({"enabled": false})).unwrap());
    index.applied(&locked);
    assert_eq!(verify(), Err(Denial::OrganizationLocked));
    index.applied(&acme(&["2", "3"]));
    assert_eq!(verify(), Err(Denial::LimitReached));
    index.applied(&acme(&["2", "1"]));
    assert_eq!(verify(), Ok("ci".into()));
    delete(&index, &acme(&[]), at(0));
    assert_eq!(verify(), Err(Denial::OrganizationLocked));
    index.applied(&jane("another", false));
    assert_eq!(verify(), Err(Denial::OwnerDeleted));
}

#[test]
fn an_owner_or_organization_that_cannot_be_read_refuses_its_keys() {
    let owned = issued("owned", "1", json!({"owner": {"name": "jane"}}));
    let other = issued("other", "2", json!({}));
    let index = index(&[&owned, &other]);
    index.applied(&jane("j", false));
    Feed::<User>::unreadable(&index, jane("j", false).meta());
    assert_eq!(verify(&index, &owned.token), Err(Denial::OwnerDisabled));
    assert_eq!(verify(&index, &other.token), Ok("other".into()));
    Feed::<Organization>::unreadable(&index, acme(&[]).meta());
    assert_eq!(verify(&index, &other.token), Err(Denial::OrganizationLocked));
    index.applied(&acme(&["1", "2"]));
    assert_eq!(verify(&index, &other.token), Ok("other".into()));
}

#[test]
fn the_call_is_held_against_the_policy() {
    let spec = json!({
        "allow": [{"methods": ["GET"], "paths": ["/a/*"]}],
        "allowedCIDRs": ["10.0.0.0/8"],
        "projects": ["shop"],
    });
    let issued = issued("ci", "1", spec);
    let index = index(&[&issued]);
    let good = Call { target: "/a/b?c", address: "10.1.1.1".parse().ok(), project: Some("shop"), ..CALL };
    let ask = |call: Call<'_>| ask(&index, &issued.token, &call, at(0)).err();
    assert_eq!(ask(good), None);
    assert_eq!(ask(Call { target: "/a/../b", ..good }), Some(Denial::PathNotCanonical));
    assert_eq!(ask(Call { target: "/b", ..good }), Some(Denial::EndpointNotAllowed));
    assert_eq!(ask(Call { method: "POST", ..good }), Some(Denial::EndpointNotAllowed));
    assert_eq!(ask(Call { address: "192.0.2.1".parse().ok(), ..good }), Some(Denial::AddressNotAllowed));
    assert_eq!(ask(Call { address: None, ..good }), Some(Denial::AddressNotAllowed));
    assert_eq!(ask(Call { project: Some("other"), ..good }), Some(Denial::ProjectNotAllowed));
    assert_eq!(ask(Call { project: None, ..good }), Some(Denial::ProjectNotAllowed));
}

#[test]
fn a_policy_that_does_not_compile_allows_nothing() {
    let rules = json!({"allow": [{"methods": ["GET"], "paths": ["/a", "not a path"]}]});
    assert_eq!(denied(rules, |_| {}), Some(Denial::EndpointNotAllowed));
    assert_eq!(denied(json!({"allow": []}), |_| {}), Some(Denial::EndpointNotAllowed));
    assert_eq!(denied(json!({"allowedCIDRs": ["10.0.0.0/99"]}), |_| {}), Some(Denial::AddressNotAllowed));
}
