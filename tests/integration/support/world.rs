//! The control plane and the operator that most tests share.

use super::{objects, operator::Operator};
use kube::{
    Api, Client, CustomResourceExt,
    api::PostParams,
    runtime::wait::{await_condition, conditions},
};
use latchkey::{
    local_cluster::{Binaries, LocalCluster, Options},
    resources::{ManagementKey, definitions},
    token,
};
use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
};
use tokio::{runtime::Runtime, sync::OnceCell};

static WORLD: OnceLock<World> = OnceLock::new();

pub struct World {
    runtime: Runtime,
    cluster: Mutex<Option<LocalCluster>>,
    pub client: Client,
    pub kubectl: PathBuf,
    audit_log: PathBuf,
    folder: tempfile::TempDir,
    shared: OnceCell<Operator>,
    transcript: Mutex<Vec<String>>,
    logs: Mutex<Vec<PathBuf>>,
}

impl World {
    pub fn start() -> &'static Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = Runtime::new().unwrap();
        // It takes $KUBEBUILDER_ASSETS first, then its cache, and says what it does otherwise.
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/control-plane/install");
        let binaries = runtime.block_on(Binaries::install(&script)).expect("the control plane's programs");
        let (cluster, client) = runtime.block_on(async {
            let options = Options { data_dir: None, audit_log: true };
            let cluster = LocalCluster::start(&binaries, options).await.expect("a control plane");
            let client = Client::try_from(cluster.admin()).unwrap();
            install_definitions(&client).await;
            (cluster, client)
        });
        let world = Self {
            runtime,
            client,
            kubectl: cluster.kubectl().to_owned(),
            audit_log: cluster.audit_log().expect("an audit log"),
            cluster: Mutex::new(Some(cluster)),
            folder: tempfile::tempdir().unwrap(),
            shared: OnceCell::new(),
            transcript: Mutex::default(),
            logs: Mutex::default(),
        };
        WORLD.set(world).ok().expect("one world");
        Self::get()
    }

    pub fn get() -> &'static Self {
        WORLD.get().expect("the world was started")
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The operator that looks after all organizations without a shard.
    pub async fn operator(&self) -> &Operator {
        self.shared.get_or_init(|| Operator::start(self, "shared", &[])).await
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A configuration for a person who is no administrator.
    pub fn client_of(&self, user: &str) -> Client {
        let cluster = self.cluster.lock().unwrap();
        let config = cluster.as_ref().expect("it runs").user(user, None).unwrap();
        self.block_in_place(|| Client::try_from(config).unwrap())
    }

    fn block_in_place<T>(&self, make: impl FnOnce() -> T) -> T {
        let _inside = self.runtime.enter();
        make()
    }

    /// A kubeconfig of an administrator with a name of their own, so that the audit log tells them apart.
    pub fn kubeconfig(&self, user: &str) -> String {
        self.cluster
            .lock()
            .unwrap()
            .as_ref()
            .expect("it runs")
            .kubeconfig(user, Some("system:masters"))
            .unwrap()
    }

    pub fn etcd_url(&self) -> String {
        self.cluster.lock().unwrap().as_ref().expect("it runs").etcd_url()
    }

    /// Writes that a user made, Leases left out, as the audit log has them.
    pub fn writes_by(&self, user: &str) -> Vec<String> {
        let log = fs::read_to_string(&self.audit_log).unwrap_or_default();
        log.lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|event| event["stage"] == "ResponseComplete" && event["user"]["username"] == user)
            .filter(|event| event["objectRef"]["resource"] != "leases")
            .map(|event| {
                format!("{} {}", event["verb"].as_str().unwrap(), event["requestURI"].as_str().unwrap())
            })
            .collect()
    }

    /// Remembers something that was seen from outside, to look for tokens in it at the end.
    pub fn saw(&self, text: String) {
        self.transcript.lock().unwrap().push(text);
    }

    pub fn remember_log(&self, path: PathBuf) {
        self.logs.lock().unwrap().push(path);
    }

    /// Where tokens were found that must not be there: logs, answers, metrics, and every object except Secrets.
    pub fn leaks(&self) -> Vec<String> {
        // Plainly, or in base64 as in a Secret's data: these are `lk_mk_` and `lk_ak_`.
        let pattern = regex::Regex::new(&format!("{}|bGtf(bWtf|YWtf)", token::PATTERN)).unwrap();
        let mut texts: Vec<(String, String)> = Vec::new();
        for log in self.logs.lock().unwrap().iter() {
            texts.push((log.display().to_string(), fs::read_to_string(log).unwrap_or_default()));
        }
        texts.push(("the audit log".into(), fs::read_to_string(&self.audit_log).unwrap_or_default()));
        texts.extend(self.transcript.lock().unwrap().iter().map(|text| ("an answer".into(), text.clone())));
        let objects = self.block_on(objects::all(&self.client));
        texts.extend(objects.into_iter().filter(|(place, _)| !place.starts_with("Secret ")));
        let found = texts.iter().filter(|(_, text)| pattern.is_match(text));
        let leaks: Vec<_> = found.map(|(place, _)| place.clone()).collect();
        eprintln!("looked for tokens in {} logs, answers and objects", texts.len());
        leaks
    }

    pub fn stop(&self) {
        let cluster = self.cluster.lock().unwrap().take();
        if let Some(cluster) = cluster {
            let _ = self.block_on(cluster.stop());
        }
    }
}

async fn install_definitions(client: &Client) {
    let api = Api::all(client.clone());
    for crd in definitions() {
        api.create(&PostParams::default(), &crd).await.unwrap();
    }
    for crd in definitions() {
        let name = crd.metadata.name.unwrap();
        await_condition(api.clone(), &name, conditions::is_crd_established()).await.unwrap();
    }
    let served =
        || async { Api::<ManagementKey>::all(client.clone()).list(&Default::default()).await.is_ok() };
    super::eventually(ManagementKey::crd_name(), served, |served| *served).await;
}
