//! Rotation, deletion, imports, and keys that get in each other's way.

use super::*;

#[test]
fn both_tokens_are_good_during_the_overlap() {
    let mut issued = issued("ci", "1", json!({}));
    let index = index(&[&issued]);
    let next = issued.next_token();
    let generations = [generation(2, &next, None), generation(1, &issued.token, Some(at(60)))];
    issued.set(json!({"generations": generations}));
    index.applied(&issued.key);
    assert_eq!(ask(&index, &next, &CALL, at(59)), Ok("ci".into()));
    assert_eq!(ask(&index, &issued.token, &CALL, at(59)), Ok("ci".into()));
    assert_eq!(ask(&index, &issued.token, &CALL, at(60)), Err(Denial::RotatedOut));
    assert_eq!(ask(&index, &next, &CALL, at(60)), Ok("ci".into()));
}

#[test]
fn a_token_that_is_listed_no_more_is_rotated_out_whatever_its_end_was() {
    let mut issued = issued("ci", "1", json!({}));
    let index = index(&[&issued]);
    let mut tokens = vec![issued.next_token()];
    for number in 2..6 {
        let generations = [generation(number, &tokens[0], None)];
        issued.set(json!({"generations": generations}));
        index.applied(&issued.key);
        tokens.insert(0, issued.next_token());
    }
    let answers: Vec<_> = tokens[1..].iter().map(|token| verify(&index, token)).collect();
    let (good, old) = (Ok("ci".to_owned()), Err(Denial::RotatedOut));
    assert_eq!(answers, [good, old.clone(), old, Err(Denial::UnknownToken)]);
}

#[test]
fn a_deleted_key_answers_revoked_for_ten_minutes_and_never_comes_back() {
    let issued = issued("ci", "1", json!({}));
    let index = index(&[&issued]);
    delete(&index, &issued.key, at(0));
    assert_eq!(index.len(), 0);
    index.applied(&issued.key);
    assert_eq!(ask(&index, &issued.token, &CALL, at(599)), Err(Denial::Revoked));
    assert_eq!(ask(&index, &issued.token, &CALL, at(600)), Err(Denial::UnknownToken));
    Feed::<ManagementKey>::restart(&index);
    index.applied(&issued.key);
    Feed::<ManagementKey>::complete(&index, at(600));
    assert_eq!(verify(&index, &issued.token), Err(Denial::UnknownToken));
}

#[test]
fn what_is_final_stays_although_an_event_says_otherwise() {
    let good = issued("ci", "1", json!({}));
    let index = index(&[&good]);
    let mut deleting = good.key.clone();
    deleting.metadata.deletion_timestamp = Some(at(0).into());
    index.applied(&deleting);
    index.applied(&good.key);
    assert_eq!(verify(&index, &good.token), Err(Denial::Revoked));
}

#[test]
fn another_key_of_the_same_name_is_another_key() {
    let first = issued("ci", "1", json!({}));
    let second = issued("ci", "2", json!({}));
    let index = index(&[&first]);
    index.applied(&acme(&["1", "2"]));
    delete(&index, &first.key, at(0));
    index.applied(&second.key);
    assert_eq!(verify(&index, &first.token), Err(Denial::Revoked));
    assert_eq!(verify(&index, &second.token), Ok("ci".into()));
    delete(&index, &first.key, at(0));
    assert_eq!(verify(&index, &second.token), Ok("ci".into()));
}

#[test]
fn a_key_that_cannot_be_read_is_refused_until_it_can() {
    let bad = issued("bad", "1", json!({}));
    let good = issued("good", "2", json!({}));
    let index = index(&[&bad, &good]);
    Feed::<ManagementKey>::unreadable(&index, bad.key.meta());
    Feed::<ManagementKey>::unreadable(&index, &metadata(Some("ns"), "never seen", "3"));
    assert_eq!(verify(&index, &bad.token), Err(Denial::EndpointNotAllowed));
    assert_eq!(verify(&index, &good.token), Ok("good".into()));
    index.applied(&bad.key);
    assert_eq!(verify(&index, &bad.token), Ok("bad".into()));
    Feed::<ManagementKey>::restart(&index);
    Feed::<ManagementKey>::unreadable(&index, bad.key.meta());
    Feed::<ManagementKey>::complete(&index, at(0));
    assert_eq!(verify(&index, &bad.token), Err(Denial::EndpointNotAllowed));
    assert_eq!(verify(&index, &good.token), Err(Denial::Revoked));
}

#[test]
fn a_key_without_a_token_is_not_served() {
    let mut key = issued("ci", "1", json!({}));
    let index = index(&[&key]);
    key.set(json!({"generations": []}));
    index.applied(&key.key);
    assert_eq!((index.len(), verify(&index, &key.token)), (0, Err(Denial::UnknownToken)));
    for broken in
        [json!({"id": "short"}), json!({"generations": [{"number": 1, "digest": "x", "issuedAt": at(0)}]})]
    {
        key.set(broken);
        index.applied(&key.key);
        assert_eq!(index.len(), 0);
    }
}

fn importing(name: &str, uid: &str, token: &str) -> Issued {
    let mut imported = issued(name, uid, json!({"importFrom": {"name": "old", "key": "token"}}));
    imported.token = Token::from_existing(token.to_owned());
    let generations = [generation(1, &imported.token, None)];
    imported.set(json!({"generations": generations}));
    imported
}

#[test]
fn an_imported_token_is_found_and_its_successors_too() {
    let mut key = importing("ci", "1", "xai-Kq8sD2mVn4Zt7LwPc1Rf");
    let index = index(&[&key]);
    assert_eq!(verify(&index, &key.token), Ok("ci".into()));
    let next = key.next_token();
    let generations = [generation(2, &next, None), generation(1, &key.token, Some(at(60)))];
    key.set(json!({"generations": generations}));
    index.applied(&key.key);
    assert_eq!(verify(&index, &key.token), Ok("ci".into()));
    assert_eq!(verify(&index, &next), Ok("ci".into()));
    assert_eq!(ask(&index, &key.token, &CALL, at(60)), Err(Denial::RotatedOut));
    delete(&index, &key.key, at(0));
    assert_eq!(verify(&index, &key.token), Err(Denial::Revoked));
    let other = issued("other", "2", json!({}));
    delete(&index, &other.key, at(600));
    assert_eq!(verify(&index, &key.token), Err(Denial::MalformedToken));
}

#[test]
fn a_token_serves_the_older_of_two_keys_until_it_is_gone() {
    let token = "xai-Kq8sD2mVn4Zt7LwPc1Rf";
    let mut young = importing("young", "1", token);
    young.key.metadata.creation_timestamp = Some(at(5).into());
    let mut old = importing("old", "2", token);
    for reversed in [false, true] {
        let index = if reversed { index(&[&old, &young]) } else { index(&[&young, &old]) };
        assert_eq!(verify(&index, &old.token), Ok("old".into()));
        // An update must not change whose turn it is.
        old.key.spec.suspended = true;
        index.applied(&old.key);
        index.applied(&young.key);
        assert_eq!(verify(&index, &old.token), Err(Denial::Suspended));
        delete(&index, &old.key, at(0));
        assert_eq!(verify(&index, &old.token), Ok("young".into()));
        delete(&index, &young.key, at(0));
        assert_eq!(verify(&index, &old.token), Err(Denial::Revoked));
        old.key.spec.suspended = false;
    }
}

#[test]
fn nobody_takes_an_id_over_by_importing_a_token_that_names_it() {
    let victim = issued("victim", "2", json!({}));
    let mut thief = importing("thief", "1", victim.next_token().reveal());
    thief.set(json!({"id": victim.id()}));
    thief.key.metadata.creation_timestamp = Some(at(-5).into());
    let index = index(&[&thief, &victim]);
    assert_eq!(verify(&index, &victim.token), Ok("victim".into()));
    assert_eq!(verify(&index, &thief.token), Err(Denial::UnknownToken));
    delete(&index, &victim.key, at(0));
    assert_eq!(verify(&index, &thief.token), Ok("thief".into()));
}

#[test]
fn readers_never_find_a_gap_while_a_key_changes() {
    let mut key = importing("ci", "1", "xai-Kq8sD2mVn4Zt7LwPc1Rf");
    let token = Token::from_existing(key.token.reveal().to_owned());
    let index = index(&[&key]);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                assert_eq!(verify(&index, &token), Ok("ci".into()));
            }
        });
        for round in 0..2000 {
            let mut generations = vec![generation(1, &key.token, None)];
            if round % 2 == 0 {
                generations.insert(0, generation(2, &key.next_token(), None));
            }
            key.set(json!({"generations": generations}));
            index.applied(&key.key);
            index.applied(&acme(&["1"]));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        reader.join().unwrap();
    });
}
