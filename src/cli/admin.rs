//! The admin listener: whether the process lives, whether it is ready, and its metrics.

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use prometheus_client::{encoding::text::encode, registry::Registry};
use std::sync::Arc;

/// One thing that must hold before the process is ready, and what it is called.
pub(super) type Check = (&'static str, Box<dyn Fn() -> bool + Send + Sync>);

struct Admin {
    checks: Vec<Check>,
    registry: Registry,
}

/// `/healthz`, `/readyz` and `/metrics`.
pub(super) fn router(checks: Vec<Check>, registry: Registry) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(Admin { checks, registry }))
}

async fn ready(State(admin): State<Arc<Admin>>) -> (StatusCode, String) {
    let missing: Vec<_> = admin.checks.iter().filter(|(_, holds)| !holds()).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for: {}\n", missing.join(", ")))
}

async fn metrics(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let mut text = String::new();
    match encode(&mut text, &admin.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            (StatusCode::OK, [("content-type", kind)], text)
        }
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, [("content-type", "text/plain")], String::new()),
    }
}
