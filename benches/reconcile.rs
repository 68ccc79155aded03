//! What a key costs from create to Ready on a real API server, beside a bare loop that makes the same writes.
//!
//! `LATCHKEY_BENCH_KEYS` sets how many keys are applied at once (2000).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use latchkey::{
    local_cluster::{Binaries, LocalCluster, Options},
    resources::{ManagementKey, Organization, definitions},
};
use serde_json::json;
use std::{
    collections::HashSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const CREATORS: usize = 32;
const ALONE: usize = 100;
const TICKS_PER_SECOND: f64 = 100.0;

fn main() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if env::var_os("LATCHKEY_BENCH_BARE").is_some() {
        runtime.block_on(bare());
    } else if env::args().any(|arg| arg == "--bench") {
        runtime.block_on(bench());
    }
}

struct Bench {
    cluster: LocalCluster,
    client: Client,
    folder: tempfile::TempDir,
    keys: usize,
}

async fn bench() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/control-plane/install");
    let binaries = Binaries::install(&script).await.unwrap();
    let cluster = LocalCluster::start(&binaries, Options { data_dir: None, audit_log: true }).await.unwrap();
    let client = Client::try_from(cluster.admin()).unwrap();
    for crd in definitions() {
        Api::all(client.clone()).create(&PostParams::default(), &crd).await.unwrap();
    }
    let keys = env::var("LATCHKEY_BENCH_KEYS").ok().and_then(|text| text.parse().ok()).unwrap_or(2000);
    let bench = Bench { cluster, client, folder: tempfile::tempdir().unwrap(), keys };
    while Api::<ManagementKey>::all(bench.client.clone()).list(&ListParams::default()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bench.run().await;
    bench.cluster.stop().await.unwrap();
}

impl Bench {
    async fn run(&self) {
        let mut bare = self.start_bare();
        let floor = self.crowd("bare", "bare", bare.id()).await;
        bare.kill().unwrap();
        bare.wait().unwrap();

        let mut operator = self.start_operator("operator");
        self.ready().await;
        let ours = self.crowd("latchkey", "operator", operator.id()).await;
        println!("rate, as a ratio to the bare loop: {:.2}", ours.rate / floor.rate);
        self.alone().await;
        operator.kill().unwrap();
        operator.wait().unwrap();

        let mut again = self.start_operator("again");
        self.ready().await;
        // It is through with all keys when a new one is ready.
        let api: Api<ManagementKey> = Api::namespaced(self.client.clone(), "alone");
        api.create(&PostParams::default(), &key("marker")).await.unwrap();
        await_ready(api, ALONE + 1).await;
        let cpu = cpu(again.id()) * 1000.0 / (self.keys + ALONE) as f64;
        let writes = self.writes("again");
        println!(
            "restart beside {} keys: {cpu:.3} ms CPU per key, {} writes, 4 of them for the marker",
            self.keys + ALONE,
            writes.len()
        );
        self.tally(&writes);
        again.kill().unwrap();
        again.wait().unwrap();
    }

    /// Applies many keys at once and waits until all are ready.
    async fn crowd(&self, name: &str, user: &str, pid: u32) -> Measured {
        self.namespace(name, 4096).await;
        let before = (cpu(pid), self.writes(user).len());
        let api: Api<ManagementKey> = Api::namespaced(self.client.clone(), name);
        let begun = Instant::now();
        let all_ready = tokio::spawn(await_ready(api.clone(), self.keys));
        stream::iter(0..self.keys)
            .for_each_concurrent(CREATORS, |number| {
                let api = api.clone();
                async move {
                    drop(api.create(&PostParams::default(), &key(&format!("key-{number}"))).await.unwrap())
                }
            })
            .await;
        let created = begun.elapsed();
        all_ready.await.unwrap();
        let took = begun.elapsed();
        let keys = self.keys as f64;
        let measured = Measured { rate: keys / took.as_secs_f64() };
        println!(
            "{name}: {} keys in {took:.2?} (created in {created:.2?}), {:.0} keys/s, {:.3} ms CPU per key, {:.2} writes per key, {}",
            self.keys,
            measured.rate,
            (cpu(pid) - before.0) * 1000.0 / keys,
            (self.writes(user).len() - before.1) as f64 / keys,
            memory(pid),
        );
        self.tally(&self.writes(user)[before.1..]);
        measured
    }

    /// Counts writes by what they are.
    fn tally(&self, writes: &[String]) {
        let mut kinds = std::collections::BTreeMap::<String, usize>::new();
        for write in writes {
            let kind: Vec<&str> = write.split('/').filter(|part| !part.contains("key-")).collect();
            *kinds.entry(kind.join("/")).or_default() += 1;
        }
        kinds.iter().for_each(|(kind, count)| println!("    {count} {kind}"));
    }

    /// Creates keys one after the other, and waits for each on a watch that is under way before.
    async fn alone(&self) {
        self.namespace("alone", 4096).await;
        let api: Api<ManagementKey> = Api::namespaced(self.client.clone(), "alone");
        let mut events = watcher(api.clone(), watcher::Config::default()).default_backoff().boxed();
        while !matches!(events.try_next().await.unwrap(), Some(watcher::Event::InitDone)) {}
        let mut times = Vec::new();
        for number in 0..ALONE {
            let name = format!("key-{number}");
            let begun = Instant::now();
            api.create(&PostParams::default(), &key(&name)).await.unwrap();
            loop {
                match events.try_next().await.unwrap().expect("an event") {
                    watcher::Event::Apply(key) if key.name_any() == name && is_ready(&key) => break,
                    _ => {}
                }
            }
            times.push(begun.elapsed());
        }
        times.sort();
        println!(
            "one key alone, create to Ready: median {:.1?}, p99 {:.1?}",
            times[ALONE / 2],
            times[ALONE * 99 / 100]
        );
    }

    async fn namespace(&self, name: &str, limit: usize) {
        let namespace = json!({"metadata": {"name": name, "labels": {"org": name}}});
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.create(&PostParams::default(), &serde_json::from_value(namespace).unwrap()).await.unwrap();
        // The bare loop's keys are in another shard, so that they are none of the operator's business.
        let labels = if name == "bare" { json!({"latchkey.dev/shard": name}) } else { json!({}) };
        let organization = json!({"apiVersion": "latchkey.dev/v1alpha1", "kind": "Organization",
            "metadata": {"name": name, "labels": labels},
            "spec": {"namespaceSelector": {"matchLabels": {"org": name}}, "limits": {"managementKeys": limit}}});
        let organizations: Api<Organization> = Api::all(self.client.clone());
        organizations
            .create(&PostParams::default(), &serde_json::from_value(organization).unwrap())
            .await
            .unwrap();
    }

    fn start_bare(&self) -> Child {
        let kubeconfig = self.kubeconfig("bare");
        let mut command = Command::new(env::current_exe().unwrap());
        command.env("LATCHKEY_BENCH_BARE", "1").env("KUBECONFIG", kubeconfig);
        command.stdout(Stdio::null()).spawn().unwrap()
    }

    fn start_operator(&self, user: &str) -> Child {
        let log = fs::File::create(self.folder.path().join(format!("{user}.log"))).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        command.args(["run", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:18081", "--leader-elect=false"]);
        command.arg("--default-organization=false");
        command.env("KUBECONFIG", self.kubeconfig(user)).stderr(log).spawn().unwrap()
    }

    async fn ready(&self) {
        while !reqwest::get("http://127.0.0.1:18081/readyz").await.is_ok_and(|answer| answer.status() == 200)
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn kubeconfig(&self, user: &str) -> PathBuf {
        let place = self.folder.path().join(format!("{user}.kubeconfig"));
        fs::write(&place, self.cluster.kubeconfig(user, Some("system:masters")).unwrap()).unwrap();
        place
    }

    /// The writes that a user made, Leases and Events left out.
    fn writes(&self, user: &str) -> Vec<String> {
        let log = fs::read_to_string(self.cluster.audit_log().unwrap()).unwrap_or_default();
        let events = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        events
            .filter(|event| event["stage"] == "ResponseComplete" && event["user"]["username"] == user)
            .map(|event| {
                format!("{} {} {}", event["verb"], event["requestURI"], event["responseStatus"]["code"])
            })
            .filter(|uri| !uri.contains("/leases") && !uri.contains("/events"))
            .collect()
    }
}

struct Measured {
    rate: f64,
}

fn key(name: &str) -> ManagementKey {
    let spec = json!({"allow": [{"methods": ["*"], "paths": ["/management/**"]}]});
    ManagementKey::new(name, serde_json::from_value(spec).unwrap())
}

fn is_ready(key: &ManagementKey) -> bool {
    let conditions = key.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn await_ready(api: Api<ManagementKey>, count: usize) {
    let mut ready = HashSet::new();
    let mut events = watcher(api, watcher::Config::default()).default_backoff().applied_objects().boxed();
    while ready.len() < count {
        let key = events.try_next().await.unwrap().unwrap();
        if is_ready(&key) {
            ready.insert(key.name_any());
        }
    }
}

/// The seconds of CPU that a process has used.
fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<f64> =
        after_name.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect();
    fields.get(11..13).map_or(0.0, |times| times.iter().sum::<f64>() / TICKS_PER_SECOND)
}

fn memory(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The bare loop: watches keys, and makes for each the writes that Latchkey makes, of the same size.
async fn bare() {
    let client = Client::try_default().await.unwrap();
    let keys: Api<ManagementKey> = Api::namespaced(client.clone(), "bare");
    watcher(keys, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .try_filter(|key| std::future::ready(key.finalizers().is_empty()))
        .for_each_concurrent(32, |key| {
            let client = client.clone();
            async move { serve(&client, key.unwrap()).await }
        })
        .await;
}

async fn serve(client: &Client, key: ManagementKey) {
    let name = key.name_any();
    let keys: Api<ManagementKey> = Api::namespaced(client.clone(), "bare");
    let finalizer =
        json!({"metadata": {"finalizers": ["latchkey.dev/key"], "resourceVersion": key.resource_version()}});
    let key = keys.patch(&name, &PatchParams::default(), &Patch::Merge(&finalizer)).await.unwrap();
    let digest = format!("sha256:{}", "0".repeat(64));
    let time = "2026-11-20T10:00:00.123Z";
    let secret = json!({"metadata": {"name": name, "labels": {"latchkey.dev/none": "ManagementKey"}, "annotations": {
        "a/key": name, "a/seal": "0".repeat(64),
        "a/record": json!({"id": "0".repeat(12), "hint": "0000", "issuedAt": time, "token": "Held",
            "generations": [{"number": 1, "digest": digest, "issuedAt": time}]}).to_string()}},
        "stringData": {"token": "0".repeat(68), "id": "0".repeat(12)}});
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "bare");
    secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    let condition = |type_: &str| {
        json!({"type": type_, "status": "True", "reason": "Active", "observedGeneration": 1,
            "message": "Secret key-1 holds the token until 2026-11-20", "lastTransitionTime": "2026-11-20T10:00:00Z"})
    };
    let status = json!({"observedGeneration": 1, "organization": "latchkey", "id": "0".repeat(12), "tokenHint": "0000",
        "secretRef": {"name": name, "resourceVersion": "1000"}, "issuedAt": time, "revealUntil": time,
        "generations": [{"number": 1, "digest": digest, "issuedAt": time}],
        "conditions": [condition("Ready"), condition("Admitted"), condition("Issued")]});
    let changed = ManagementKey { status: Some(serde_json::from_value(status).unwrap()), ..key };
    keys.replace_status(&name, &PostParams::default(), &changed).await.unwrap();
}
