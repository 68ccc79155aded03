//! Putting the controllers together: caches, then leadership, then the loops.

use super::{
    caches,
    context::{KeyContext, Shared},
    directory::Directory,
    keys,
    organizations::{self, OrganizationContext},
    queue::{self, Trigger},
    registry::Registry,
    users,
    written::Written,
};
use crate::{
    cluster::{
        events::Events,
        seal::{self, SealError},
        watch::{Cache, Subscriber},
    },
    resources::{ManagementKey, Organization, User},
};
use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Client,
    api::PartialObjectMeta,
    runtime::reflector::{self, store::WriterDropped},
};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// How the controllers run.
pub struct Options {
    /// The clock.
    pub clock: fn() -> Timestamp,
    /// The namespace of Latchkey's own objects.
    pub namespace: String,
    /// Look after the organizations with this shard label; `None`: those without one.
    pub shard: Option<String>,
    /// Whether to make the organization `default`.
    pub default_organization: bool,
}

/// Controllers whose caches are being filled.
pub struct Controllers {
    shared: Arc<Shared>,
    management_keys: Arc<KeyContext<ManagementKey>>,
    namespaces: reflector::Store<PartialObjectMeta<Namespace>>,
    default_organization: bool,
}

/// What the controllers want to be told of, to be handed to the watches.
pub struct Subscriptions {
    /// Organizations.
    pub organizations: Box<dyn Subscriber<Organization>>,
    /// Users.
    pub users: Box<dyn Subscriber<User>>,
    /// Management keys.
    pub management_keys: Box<dyn Subscriber<ManagementKey>>,
    /// Metadata of all namespaces.
    pub namespaces: Box<dyn Subscriber<PartialObjectMeta<Namespace>>>,
    /// Metadata of the Secrets that [`secrets_watched`] selects.
    pub secrets: Box<dyn Subscriber<PartialObjectMeta<Secret>>>,
}

/// The label selector of the Secrets that the controllers want to be told of.
pub fn secrets_watched() -> String {
    keys::secret::kind_label()
}

/// Makes the controllers and what they want to be told of. Nothing is written before [`Controllers::lead`], except the
/// sealing key if there is none yet.
pub async fn prepare(client: Client, options: Options) -> Result<(Controllers, Subscriptions), SealError> {
    let seal = seal::load_or_create(&client, &options.namespace).await?;
    let (organizations, organizations_writer) = reflector::store();
    let (users, users_writer) = reflector::store();
    let (secrets, secrets_writer) = reflector::store();
    let (namespaces, namespaces_writer) = reflector::store();
    let (keys, keys_writer) = reflector::store();
    let shared = Arc::new(Shared {
        events: Events::start(client.clone()),
        client,
        clock: options.clock,
        seal,
        shard: options.shard,
        directory: Directory::default(),
        organizations,
        users,
        secrets,
        written_organizations: Written::default(),
        resolved_organizations: Mutex::default(),
        organization_trigger: Trigger::default(),
        user_trigger: Trigger::default(),
    });
    let management_keys = Arc::new(KeyContext {
        shared: Arc::clone(&shared),
        keys,
        registry: Registry::default(),
        written: Written::default(),
        trigger: Trigger::default(),
        undecodable: Mutex::default(),
    });
    let context = || Arc::clone(&management_keys);
    let (for_keys, for_organizations, for_namespaces, for_users, for_secrets) =
        (context(), context(), context(), context(), context());
    let subscriptions = Subscriptions {
        organizations: Box::new(Cache::new(organizations_writer, move |change| {
            caches::organization_changed(&for_organizations, change);
        })),
        users: Box::new(Cache::new(users_writer, move |change| caches::user_changed(&for_users, change))),
        management_keys: Box::new(Cache::new(keys_writer, move |change| {
            caches::key_changed(&for_keys, change)
        })),
        namespaces: Box::new(Cache::new(namespaces_writer, move |change| {
            caches::namespace_changed(&for_namespaces, change);
        })),
        secrets: Box::new(Cache::new(secrets_writer, move |change| {
            caches::secret_changed(&for_secrets, change)
        })),
    };
    let controllers = Controllers {
        shared,
        management_keys,
        namespaces,
        default_organization: options.default_organization,
    };
    Ok((controllers, subscriptions))
}

impl Controllers {
    /// Waits until every cache has seen a complete list.
    pub async fn ready(&self) -> Result<(), WriterDropped> {
        self.shared.organizations.wait_until_ready().await?;
        self.shared.users.wait_until_ready().await?;
        self.shared.secrets.wait_until_ready().await?;
        self.namespaces.wait_until_ready().await?;
        self.management_keys.keys.wait_until_ready().await
    }

    /// Reconciles whenever this process leads, until `leading` is closed.
    pub async fn lead(&self, mut leading: watch::Receiver<bool>) {
        while leading.wait_for(|leads| *leads).await.is_ok() {
            tracing::info!("reconciling");
            let mut still = leading.clone();
            let stopped = async {
                // An error means that nobody will lead any more.
                let _ = still.wait_for(|leads| !*leads).await;
                self.stop();
            };
            // What has begun is finished, so that no write is cut off in the middle.
            futures::join!(self.reconcile(), stopped);
            tracing::info!("no longer reconciling");
        }
    }

    fn stop(&self) {
        self.shared.organization_trigger.close();
        self.shared.user_trigger.close();
        self.management_keys.trigger.close();
    }

    async fn reconcile(&self) {
        if self.default_organization
            && self.shared.shard.is_none()
            && let Err(error) = organizations::ensure_default(&self.shared).await
        {
            tracing::warn!(%error, "the default organization could not be made");
        }
        caches::report_all_undecodable(&self.management_keys);
        let organization_context = Arc::new(OrganizationContext {
            keys: Arc::clone(&self.management_keys),
            pauses: Mutex::default(),
        });
        let organizations = queue::run(
            self.shared.organizations.clone(),
            &self.shared.organization_trigger,
            organization_context,
            |organization, context| organizations::reconcile(organization, context).boxed(),
        );
        let users = queue::run(
            self.shared.users.clone(),
            &self.shared.user_trigger,
            Arc::clone(&self.shared),
            |user, shared| users::reconcile(user, shared).boxed(),
        );
        let keys = queue::run(
            self.management_keys.keys.clone(),
            &self.management_keys.trigger,
            Arc::clone(&self.management_keys),
            |key, context| keys::reconcile(key, context).boxed(),
        );
        futures::join!(organizations, users, keys);
    }
}
