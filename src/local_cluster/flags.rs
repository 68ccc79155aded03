//! The command lines of etcd and kube-apiserver, after those of Kubernetes' own test environment.

use std::io;
use std::net::TcpListener;
use std::path::Path;

use super::error::Error;

/// What is recorded when an audit log is asked for: who wrote what, and nothing about reads.
pub(super) const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
";
pub(super) const AUDIT_POLICY_FILE: &str = "audit-policy.yaml";
pub(super) const AUDIT_LOG_FILE: &str = "audit.log";

/// The ports of one control plane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub etcd: u16,
    pub etcd_peer: u16,
    pub apiserver: u16,
}

impl Ports {
    /// Ports that are free now; another program may be quicker than our servers.
    pub(super) fn free() -> Result<Self, Error> {
        let listen = || TcpListener::bind(("127.0.0.1", 0));
        let held = (|| Ok([listen()?, listen()?, listen()?]))().map_err(Error::Ports)?;
        let port = |listener: &TcpListener| Ok::<u16, io::Error>(listener.local_addr()?.port());
        let [etcd, etcd_peer, apiserver] = &held;
        (|| Ok(Self { etcd: port(etcd)?, etcd_peer: port(etcd_peer)?, apiserver: port(apiserver)? }))()
            .map_err(Error::Ports)
    }
}

/// Data that nobody needs after a crash of the machine isn't worth an fsync.
pub(super) fn etcd(ports: Ports, dir: &Path) -> Vec<String> {
    let client = format!("http://127.0.0.1:{}", ports.etcd);
    vec![
        format!("--data-dir={}", dir.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls=http://127.0.0.1:{}", ports.etcd_peer),
        "--unsafe-no-fsync".to_owned(),
    ]
}

/// `ServiceAccount` admission is off because no controller makes the account that every Pod would need; the
/// endpoints of the service `kubernetes` are left alone because they may not be on a loopback address. Without a
/// grace period for watches an orderly end would wait a minute for every client to hang up.
pub(super) fn apiserver(ports: Ports, dir: &Path, audit_log: bool) -> Vec<String> {
    let file = |name: &str| dir.join(name).display().to_string();
    let mut flags = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", ports.apiserver),
        format!("--tls-cert-file={}", file("apiserver.crt")),
        format!("--tls-private-key-file={}", file("apiserver.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("sa-signer.pub")),
        format!("--service-account-signing-key-file={}", file("sa-signer.key")),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--profiling=false".to_owned(),
        "--shutdown-watch-termination-grace-period=1s".to_owned(),
    ];
    if audit_log {
        flags.push(format!("--audit-policy-file={}", file(AUDIT_POLICY_FILE)));
        flags.push(format!("--audit-log-path={}", file(AUDIT_LOG_FILE)));
    }
    flags
}
