//! Client configuration for one user of the local API server.

use k8s_openapi::ByteString;
use kube::Config;
use kube::config::AuthInfo;
use serde_json::{Value, json};

use super::error::Error;
use super::pki::{Authority, Identity};

/// How to reach the API server and how to know it.
pub(super) struct Access<'a> {
    pub url: &'a http::Uri,
    pub authority: &'a Authority,
}

impl Access<'_> {
    /// For kube's client.
    pub(super) fn config(&self, user: &str, group: Option<&str>) -> Result<Config, Error> {
        let identity = self.authority.client(user, group)?;
        let auth_info: Result<AuthInfo, _> = serde_json::from_value(credentials(&identity));
        let mut config = Config::new(self.url.clone());
        config.root_cert = Some(vec![self.authority.der()]);
        config.auth_info = auth_info.map_err(|error| refused(user, error))?;
        Ok(config)
    }

    /// For kubectl and everything else that reads a kubeconfig; it refers to no other file.
    pub(super) fn kubeconfig(&self, user: &str, group: Option<&str>) -> Result<String, Error> {
        let identity = self.authority.client(user, group)?;
        let server = self.url.to_string();
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "latchkey-local",
            "contexts": [{
                "name": "latchkey-local",
                "context": { "cluster": "latchkey-local", "user": user, "namespace": "default" },
            }],
            "clusters": [{
                "name": "latchkey-local",
                "cluster": {
                    "server": server.trim_end_matches('/'),
                    "certificate-authority-data": base64(self.authority.pem()),
                },
            }],
            "users": [{ "name": user, "user": credentials(&identity) }],
        });
        serde_saphyr::to_string(&kubeconfig).map_err(|error| refused(user, error))
    }
}

fn credentials(identity: &Identity) -> Value {
    json!({
        "client-certificate-data": base64(identity.certificate.clone()),
        "client-key-data": base64(identity.key.clone()),
    })
}

/// Kubernetes' byte string is written as base64.
fn base64(text: String) -> ByteString {
    ByteString(text.into_bytes())
}

fn refused(user: &str, error: impl std::fmt::Display) -> Error {
    Error::Kubeconfig { user: user.to_owned(), reason: error.to_string() }
}
