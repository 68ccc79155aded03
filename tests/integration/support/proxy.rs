//! A proxy in front of the API server that stops the world at a chosen write.

use axum::{Router, body::Body, extract::State, http::Request, response::Response};
use http::Method;
use kube::Client;
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{net::TcpListener, sync::Notify};

/// At which write to stop, and whether the API server still gets it.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// 1 is the first write.
    pub at: usize,
    /// Whether the write is carried out, and only its answer is lost.
    pub carried_out: bool,
}

pub struct Proxy {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    fault: Fault,
    writes: AtomicUsize,
    reached: Notify,
}

impl Proxy {
    pub async fn start(client: Client, fault: Fault) -> Self {
        let shared = Arc::new(Shared { client, fault, writes: AtomicUsize::new(0), reached: Notify::new() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(forward).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    /// A kubeconfig that leads here.
    pub fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{}", self.address)}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
            "users": [{"name": "proxy", "user": {}}],
        })
        .to_string()
    }

    /// Whether the fault's write has come.
    pub fn was_reached(&self) -> bool {
        self.shared.writes.load(Ordering::SeqCst) >= self.shared.fault.at
    }

    /// Waits until the fault's write has come.
    pub async fn reached(&self) {
        self.shared.reached.notified().await;
    }
}

async fn forward(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let path = request.uri().path();
    let counts = request.method() != Method::GET && !path.contains("/events") && !path.contains("/leases");
    let hit = counts && shared.writes.fetch_add(1, Ordering::SeqCst) + 1 == shared.fault.at;
    if hit && !shared.fault.carried_out {
        shared.reached.notify_one();
        return std::future::pending().await;
    }
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let request = Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    let answer = shared.client.send(request).await;
    if hit {
        shared.reached.notify_one();
        return std::future::pending().await;
    }
    match answer {
        Ok(answer) => answer.map(Body::new),
        Err(error) => Response::builder().status(502).body(Body::from(error.to_string())).unwrap(),
    }
}
