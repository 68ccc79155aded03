//! The forward-auth doors on the HTTP listener: `/auth` for Traefik, Caddy and their like, `/auth/nginx` for nginx.
//!
//! A door never reads a body, and it answers from memory alone.

use super::{
    attributes::{Attribute, Attributes},
    credentials::Credentials,
    decision::{Call, Grant, decide},
    denial::Denial,
    gateway,
    index::Index,
    metrics::{Decisions, Door},
};
use crate::policy::AddressRanges;
use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    response::Response,
    routing::any,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, WWW_AUTHENTICATE},
};
use jiff::Timestamp;
use rand::{TryRng, rngs::SysRng};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The proxies that are trusted where nobody says which.
pub const DEFAULT_TRUSTED_PROXIES: [&str; 2] = ["127.0.0.0/8", "::1/128"];

const KEY: HeaderName = HeaderName::from_static("x-latchkey-key");
const KEY_ID: HeaderName = HeaderName::from_static("x-latchkey-key-id");
const KIND: HeaderName = HeaderName::from_static("x-latchkey-kind");
const ORGANIZATION: HeaderName = HeaderName::from_static("x-latchkey-organization");
const PROJECT: HeaderName = HeaderName::from_static("x-latchkey-project");
const DECISION: HeaderName = HeaderName::from_static("x-latchkey-decision");
const REASON: HeaderName = HeaderName::from_static("x-latchkey-reason");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");

/// What the doors need to answer.
pub struct DoorState {
    index: Arc<Index>,
    trusted: AddressRanges,
    decisions: Decisions,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    ids: DecisionIds,
}

impl DoorState {
    /// Takes the index to decide with, the proxies whose `X-Forwarded-For` is believed, the counters, and the clock.
    /// Fails if the operating system gives no random bytes.
    pub fn new(
        index: Arc<Index>,
        trusted: AddressRanges,
        decisions: Decisions,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<Self, rand::rngs::SysError> {
        Ok(Self { index, trusted, decisions, clock: Box::new(clock), ids: DecisionIds::new()? })
    }

    fn answer(&self, door: Door, request: &Request) -> Response {
        let headers = request.headers();
        let attributes = Attributes::read(request.uri(), headers);
        let told = match door {
            Door::ForwardAuth => gateway::forwarded(headers, peer(request), &self.trusted),
            Door::Nginx => gateway::original(headers),
        };
        let call = told.zip(attributes.as_ref()).map(|(told, attributes)| Call {
            method: told.method,
            target: told.target,
            address: told.address,
            project: attributes.get(Attribute::Project),
        });
        let decision = decide(&self.index, Credentials::read(headers), call.as_ref(), (self.clock)());
        self.decisions.count(door, decision.as_ref().err().copied());
        match decision {
            Ok(grant) => allowed(&grant, &self.ids.next()),
            Err(denial) => denied(door, denial),
        }
    }
}

/// The doors. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`: without the peer's address a key that
/// is bound to addresses is denied.
pub fn router(state: Arc<DoorState>) -> Router {
    Router::new()
        .route("/auth", any(forward_auth))
        .route("/auth/nginx", any(nginx))
        .fallback(not_found)
        .with_state(state)
}

async fn forward_auth(State(state): State<Arc<DoorState>>, request: Request) -> Response {
    state.answer(Door::ForwardAuth, &request)
}

async fn nginx(State(state): State<Arc<DoorState>>, request: Request) -> Response {
    state.answer(Door::Nginx, &request)
}

async fn not_found() -> Response {
    let message = "there is nothing at this path; the doors are /auth and /auth/nginx";
    failure(StatusCode::NOT_FOUND, "NotFound", message)
}

fn peer(request: &Request) -> Option<std::net::IpAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map(|ConnectInfo(address)| address.ip())
}

fn allowed(grant: &Grant<'_>, decision: &str) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    let key = &grant.key;
    insert(headers, KEY, key.subject());
    insert(headers, KEY_ID, key.id().as_str());
    insert(headers, KIND, key.kind().name());
    insert(headers, ORGANIZATION, key.organization());
    insert(headers, DECISION, decision);
    if let Some(project) = grant.project {
        insert(headers, PROJECT, project);
    }
    response
}

/// Kubernetes names and what the gateway said hold no control characters, so that every value fits a header.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(name, value);
    }
}

fn denied(door: Door, denial: Denial) -> Response {
    let status = match (door, denial.status()) {
        // nginx's auth_request knows these two denials only and makes an internal error of any other.
        (Door::Nginx, status) if status != StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
        (_, status) => status,
    };
    let mut response = failure(status, denial.code(), denial.message());
    let headers = response.headers_mut();
    headers.insert(REASON, HeaderValue::from_static(denial.code()));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, BEARER);
    }
    response
}

fn failure(status: StatusCode, code: &str, message: &str) -> Response {
    let body = serde_json::json!({"error": {"code": code, "message": message}});
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// Hands out ids that no other decision has, in this process or another one.
struct DecisionIds {
    process: u64,
    count: AtomicU64,
}

impl DecisionIds {
    fn new() -> Result<Self, rand::rngs::SysError> {
        Ok(Self { process: SysRng.try_next_u64()?, count: AtomicU64::new(0) })
    }

    fn next(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}-{count:x}", self.process)
    }
}
