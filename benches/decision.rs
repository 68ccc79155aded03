//! What one decision costs in process, and making and recognising a token.

#![allow(clippy::unwrap_used, missing_docs)]

use divan::{Bencher, black_box};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use jiff::Timestamp;
use latchkey::{
    resources::{Generation, KeyStatus, ManagementKey, Organization, User},
    token::{KeyId, KeyKind, Token, TokenDigest, recognise},
    verifier::{Call, Credentials, Feed, Index, decide},
};
use serde_json::json;

fn main() {
    divan::main();
}

/// How many different tokens are asked about in turn, so that the keys don't stay in the processor's caches.
const ASKED: usize = 50_000;

struct Crowd {
    index: Index,
    headers: Vec<HeaderMap>,
}

fn bearer(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
    headers
}

fn key(number: usize, token: &Token, id: KeyId) -> ManagementKey {
    let spec = json!({"allow": [{"methods": ["GET"], "paths": ["/management/v1/projects/*/users/**"]}]});
    let mut key = ManagementKey::new(&format!("key-{number}"), serde_json::from_value(spec).unwrap());
    key.metadata.namespace = Some(format!("ns-{}", number % 1000));
    key.metadata.uid = Some(format!("00000000-0000-4000-8000-{number:012x}"));
    let now = Timestamp::now();
    key.status = Some(KeyStatus {
        id: Some(id.to_string()),
        organization: Some("acme".to_owned()),
        generations: vec![Generation {
            number: 1,
            digest: token.digest().to_string(),
            issued_at: now,
            not_after: None,
        }],
        ..KeyStatus::default()
    });
    key
}

fn crowd(size: usize) -> Crowd {
    let index = Index::new();
    let now = Timestamp::now();
    let slots: Vec<_> = (0..size)
        .map(|number| {
            json!({"namespace": format!("ns-{}", number % 1000), "name": format!("key-{number}"),
                "uid": format!("00000000-0000-4000-8000-{number:012x}"), "since": now.to_string()})
        })
        .collect();
    let organization = json!({"apiVersion": "latchkey.dev/v1alpha1", "kind": "Organization",
        "metadata": {"name": "acme", "uid": "acme"}, "spec": {}, "status": {"slots": slots}});
    let organization: Organization = serde_json::from_value(organization).unwrap();
    Feed::<Organization>::applied(&index, &organization);
    let stride = size.div_ceil(ASKED);
    let mut headers = Vec::new();
    for number in 0..size {
        let id = KeyId::mint().unwrap();
        let token = Token::mint(KeyKind::Management, id).unwrap();
        Feed::<ManagementKey>::applied(&index, &key(number, &token, id));
        if number % stride == 0 {
            headers.push(bearer(token.reveal()));
        }
    }
    Feed::<Organization>::complete(&index, now);
    Feed::<ManagementKey>::complete(&index, now);
    Feed::<User>::complete(&index, now);
    Crowd { index, headers }
}

/// Every call has headers of its own that were just read, as a request's are; which key they name is spread widely.
fn ask(bencher: Bencher<'_, '_>, crowd: &Crowd, allowed: bool) {
    let call = Call {
        method: "GET",
        target: "/management/v1/projects/loyalty/users/7",
        address: None,
        project: None,
    };
    let now = Timestamp::now();
    let mut turn = 0;
    let next = || {
        turn = (turn + 7919) % crowd.headers.len();
        crowd.headers[turn].clone()
    };
    bencher.with_inputs(next).bench_local_refs(|headers| {
        let decision = decide(&crowd.index, Credentials::read(headers), Some(&call), now);
        assert_eq!(decision.is_ok(), allowed);
    });
}

#[divan::bench(args = [1_000, 100_000, 1_000_000], sample_count = 2_000, sample_size = 100)]
fn decide_allowed(bencher: Bencher<'_, '_>, size: usize) {
    ask(bencher, &crowd(size), true);
}

#[divan::bench(args = [100_000], sample_count = 2_000, sample_size = 100)]
fn decide_unknown(bencher: Bencher<'_, '_>, size: usize) {
    let mut crowd = crowd(size);
    crowd.headers = (0..ASKED)
        .map(|_| bearer(Token::mint(KeyKind::Management, KeyId::mint().unwrap()).unwrap().reveal()))
        .collect();
    ask(bencher, &crowd, false);
}

#[divan::bench]
fn mint_token(bencher: Bencher<'_, '_>) {
    let id = KeyId::mint().unwrap();
    bencher.bench_local(|| Token::mint(KeyKind::Management, black_box(id)).unwrap());
}

#[divan::bench]
fn recognise_token(bencher: Bencher<'_, '_>) {
    let token = Token::mint(KeyKind::Management, KeyId::mint().unwrap()).unwrap();
    bencher.bench_local(|| recognise(black_box(token.reveal())));
}

/// The floor of a decision: hashing a token of our length.
#[divan::bench]
fn digest_token(bencher: Bencher<'_, '_>) {
    let token = Token::mint(KeyKind::Management, KeyId::mint().unwrap()).unwrap();
    bencher.bench_local(|| TokenDigest::of(black_box(token.reveal())));
}
