//! How long a decision takes and how much a key weighs. Run with
//! `cargo test --release --lib verifier::tests::speed -- --ignored --nocapture`.

use super::*;
use std::{hint::black_box, time::Instant};

fn filled(count: usize) -> (Index, Vec<String>) {
    let spec = json!({"allow": [
        {"methods": ["GET"], "paths": ["/management/v1/projects", "/management/v1/projects/*/users/**"]},
        {"methods": ["POST", "PUT"], "paths": ["/management/v1/projects/*/webhooks/**"]},
    ]});
    let index = Index::new();
    let mut tokens = Vec::with_capacity(count);
    for number in 0..count {
        let uid = format!("00000000-0000-4000-8000-{number:012x}");
        let mut issued = issued(&format!("key-{number}"), &uid, spec.clone());
        issued.set(json!({"organization": format!("organization-{}", number / 5)}));
        index.applied(&issued.key);
        tokens.push(issued.token.reveal().to_owned());
    }
    for number in 0..count.div_ceil(5) {
        let slots: Vec<_> = (0..5)
            .map(|slot| format!("00000000-0000-4000-8000-{:012x}", number * 5 + slot))
            .collect();
        let mut organization = acme(&slots.iter().map(String::as_str).collect::<Vec<_>>());
        organization.metadata = metadata(None, &format!("organization-{number}"), &format!("o{number}"));
        index.applied(&organization);
    }
    complete(&index);
    (index, tokens)
}

fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
#[ignore = "measures"]
fn decisions() {
    let call = Call {
        target: "/management/v1/projects/p1/users/u1?expand=roles",
        ..CALL
    };
    for count in [1_000, 100_000] {
        let (index, tokens) = filled(count);
        let ask = |token: &String, now| {
            let credentials = Credentials { token, id: None };
            assert!(black_box(decide(&index, Ok(credentials), Some(black_box(&call)), now)).is_ok());
        };
        // 7919 is coprime to the counts, so that every key is asked for once, in an order that no cache foresees. The
        // token itself has just come in with the request, so that it is warm.
        let order: Vec<usize> = (0..count).map(|n| n * 7919 % count).collect();
        let mut rounds: Vec<u128> = (0..20)
            .flat_map(|_| order.chunks(100))
            .map(|chunk| {
                let warm: Vec<String> = chunk.iter().map(|n| tokens[*n].clone()).collect();
                let start = Instant::now();
                warm.iter().for_each(|token| ask(token, at(0)));
                start.elapsed().as_nanos() / chunk.len() as u128
            })
            .collect();
        rounds.sort_unstable();
        println!(
            "{count} keys: median {} ns, p99 {} ns",
            rounds[rounds.len() / 2],
            rounds[rounds.len() * 99 / 100]
        );
    }
}

#[test]
#[ignore = "measures"]
fn weight() {
    const COUNT: usize = 1_000_000;
    let before = resident();
    let start = Instant::now();
    let (index, tokens) = filled(COUNT);
    let text: usize = tokens.iter().map(|token| token.capacity() + 24).sum();
    let bytes = resident().saturating_sub(before).saturating_sub(text);
    println!(
        "{} keys in {:?}: {} bytes each",
        index.len(),
        start.elapsed(),
        bytes / COUNT
    );
    println!("entry: {} bytes", size_of::<crate::verifier::Entry>());
}

#[test]
#[ignore = "measures"]
fn floor() {
    use crate::token::{TokenDigest, recognise};
    for count in [1_000, 100_000] {
        let (index, tokens) = filled(count);
        let order: Vec<usize> = (0..count).map(|n| n * 7919 % count).collect();
        for (name, what) in [("find", 0), ("+digest", 1), ("+generation", 2), ("+standing", 3)] {
            let mut rounds: Vec<u128> = (0..20)
                .flat_map(|_| order.chunks(100))
                .map(|chunk| {
                    let warm: Vec<String> = chunk.iter().map(|n| tokens[*n].clone()).collect();
                    let start = Instant::now();
                    let d = TokenDigest::of("");
                    warm.iter().for_each(|token| {
                        let d = if what >= 1 { TokenDigest::of(token) } else { d };
                        let e = index.find(recognise(token), d);
                        if what >= 2 {
                            black_box(e.as_ref().unwrap().generation(&d).is_some());
                        }
                        if what >= 3 {
                            black_box(e.as_ref().unwrap().standing().refusal(at(0)));
                        }
                        black_box(e);
                    });
                    start.elapsed().as_nanos() / chunk.len() as u128
                })
                .collect();
            rounds.sort_unstable();
            println!("{count} {name}: {}", rounds[rounds.len() / 2]);
        }
    }
}

#[test]
#[ignore = "measures"]
fn parts() {
    use crate::{
        policy::CanonicalPath,
        token::{TokenDigest, recognise},
    };
    let (index, tokens) = filled(1000);
    let time = |name: &str, part: &dyn Fn(&String)| {
        let start = Instant::now();
        for _ in 0..100 {
            tokens.iter().for_each(|t| part(black_box(t)));
        }
        println!(
            "{name}: {} ns",
            start.elapsed().as_nanos() / 100 / tokens.len() as u128
        );
    };
    time("nothing", &|_| {});
    time("digest", &|t| {
        black_box(TokenDigest::of(t));
    });
    time("recognise", &|t| {
        black_box(recognise(t));
    });
    let target = "/management/v1/projects/p1/users/u1?expand=roles";
    time("path", &|_| {
        let _ = black_box(CanonicalPath::of_target(black_box(target)));
    });
    let d = TokenDigest::of("");
    time("find", &|t| {
        black_box(index.find(recognise(t), d));
    });
    let e = index.find(recognise(&tokens[0]), d).unwrap();
    time("generation", &|_| {
        black_box(e.generation(&d));
    });
    time("standing", &|_| {
        black_box(e.standing().refusal(at(0)));
    });
    let path = CanonicalPath::of_target(target).unwrap();
    time("rules", &|_| {
        black_box(e.rules().allow("GET", black_box(&path)));
    });
}
