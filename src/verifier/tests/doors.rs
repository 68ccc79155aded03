//! The HTTP doors, through a real socket.

use super::*;
use crate::{
    policy::AddressRanges,
    verifier::{DEFAULT_TRUSTED_PROXIES, Decisions, DoorState, router},
};
use prometheus_client::registry::Registry;
use reqwest::{Client, Method, RequestBuilder, Response};
use std::{net::SocketAddr, sync::Arc};

struct Door {
    address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Door {
    async fn open(index: Index) -> Self {
        let trusted = AddressRanges::parse(DEFAULT_TRUSTED_PROXIES).unwrap();
        let decisions = Decisions::register(&mut Registry::default());
        let state = DoorState::new(Arc::new(index), trusted, decisions, || at(0)).unwrap();
        let service = router(Arc::new(state)).into_make_service_with_connect_info::<SocketAddr>();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self { address, server }
    }

    fn request(&self, path: &str, headers: &[(&str, &str)]) -> RequestBuilder {
        let request = Client::new().request(Method::POST, format!("http://{}{path}", self.address));
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        self.request(path, headers).body("never read").send().await.unwrap()
    }

    /// Status and reason of an answer whose parts must agree.
    async fn reason(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let response = self.get(path, headers).await;
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let reason = header("x-latchkey-reason").unwrap_or_default();
        assert_eq!(header("www-authenticate").is_some(), status == 401);
        assert_eq!(header("x-latchkey-key").is_some(), status == 200);
        if status != 200 {
            assert_eq!(header("content-type").as_deref(), Some("application/json"));
            let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
            assert_eq!(body["error"]["code"], reason);
            assert!(body["error"]["message"].as_str().unwrap().len() > 10);
        }
        (status, reason)
    }
}

const FORWARDED: [(&str, &str); 2] = [("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a?b=c")];

#[tokio::test]
async fn an_allowed_call_names_the_key() {
    let issued = issued("ci", "1", json!({}));
    let door = Door::open(index(&[&issued])).await;
    let headers = [FORWARDED[0], FORWARDED[1], ("x-api-key", issued.token.reveal())];
    let first = door.get("/auth?project=shop", &headers).await;
    assert_eq!(first.status(), 200);
    for (name, value) in [
        ("x-latchkey-key", "ns/ci"),
        ("x-latchkey-key-id", issued.id()),
        ("x-latchkey-kind", "ManagementKey"),
        ("x-latchkey-organization", "acme"),
        ("x-latchkey-project", "shop"),
    ] {
        assert_eq!(first.headers()[name], value);
    }
    let second = door.get("/auth", &headers).await;
    assert!(second.headers().get("x-latchkey-project").is_none());
    assert_ne!(first.headers()["x-latchkey-decision"], second.headers()["x-latchkey-decision"]);
}

#[tokio::test]
async fn denials_say_why_and_nginx_hears_only_what_it_knows() {
    let issued = issued("ci", "1", json!({"allow": [{"methods": ["GET"], "paths": ["/a"]}]}));
    let door = Door::open(index(&[&issued])).await;
    let token = ("x-api-key", issued.token.reveal());
    let [method, uri] = FORWARDED;
    let other = ("x-forwarded-uri", "/b");
    let said = |status, reason: &str| (status, reason.to_owned());
    assert_eq!(door.reason("/auth", &[method, uri]).await, said(401, "NoToken"));
    assert_eq!(door.reason("/auth", &[method, other, token]).await, said(403, "EndpointNotAllowed"));
    assert_eq!(door.reason("/auth", &[uri, token]).await, said(400, "CallUnknown"));
    assert_eq!(door.reason("/auth", &[method, uri, uri, token]).await, said(400, "CallUnknown"));
    assert_eq!(door.reason("/auth?attributes=x", &[method, uri, token]).await, said(400, "CallUnknown"));
    // What nginx passes on of the client's own headers proves nothing.
    assert_eq!(door.reason("/auth/nginx", &[method, uri, token]).await, said(403, "CallUnknown"));
    let original = [("x-original-method", "GET"), ("x-original-uri", "/a"), ("x-real-ip", "192.0.2.1")];
    assert_eq!(door.reason("/auth/nginx", &[&original[..], &[token]].concat()).await, said(200, ""));
    assert_eq!(door.reason("/auth/nginx", &original).await, said(401, "NoToken"));
}

#[tokio::test]
async fn before_the_index_is_complete_the_answer_is_503() {
    let door = Door::open(Index::new()).await;
    assert_eq!(door.reason("/auth", &FORWARDED).await, (503, "NotReady".into()));
    assert_eq!(door.reason("/auth/nginx", &FORWARDED).await, (403, "NotReady".into()));
}

#[tokio::test]
async fn a_trusted_proxy_tells_the_callers_address() {
    let issued = issued("ci", "1", json!({"allowedCIDRs": ["192.0.2.0/24"]}));
    let door = Door::open(index(&[&issued])).await;
    let [method, uri] = FORWARDED;
    let call = [method, uri, ("x-api-key", issued.token.reveal())];
    let with = |line: &'static str| [&call[..], &[("x-forwarded-for", line)]].concat();
    assert_eq!(door.reason("/auth", &with("192.0.2.7")).await.0, 200);
    assert_eq!(door.reason("/auth", &with("192.0.2.7, 198.51.100.1")).await.1, "AddressNotAllowed");
    assert_eq!(door.reason("/auth", &call).await.1, "AddressNotAllowed");
}

#[tokio::test]
async fn elsewhere_there_is_nothing() {
    let door = Door::open(Index::new()).await;
    let response = door.get("/other", &[]).await;
    assert_eq!(response.status(), 404);
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(body["error"]["code"], "NotFound");
}
