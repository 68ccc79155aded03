//! Reconciling Users: their status says whether their keys are accepted.

use super::{
    context::{Shared, as_latchkey},
    error::Error,
};
use crate::{
    cluster::client::call,
    lifecycle::conditions::{self, Reason},
    resources::{User, UserState, UserStatus},
};
use kube::{Api, ResourceExt, runtime::controller::Action};
use std::sync::Arc;

/// Writes the status of a User.
pub(super) async fn reconcile(user: Arc<User>, shared: Arc<Shared>) -> Result<Action, Error> {
    let namespace = user.namespace().unwrap_or_default();
    let ours = shared.looks_after_members(&shared.directory.membership(&namespace));
    if !ours || user.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let (state, reason) = match user.spec.disabled {
        true => (UserState::Disabled, Reason::Disabled),
        false => (UserState::Active, Reason::Accepted),
    };
    let generation = user.metadata.generation;
    let mut conditions =
        vec![conditions::condition(conditions::READY, true, &reason, generation, shared.now())];
    if let Some(before) = &user.status {
        conditions::keep_transition_times(&mut conditions, &before.conditions);
    }
    let status = UserStatus { observed_generation: generation, state: Some(state), conditions };
    if user.status.as_ref() != Some(&status) {
        let api: Api<User> = Api::namespaced(shared.client.clone(), &namespace);
        let changed = User { status: Some(status), ..(*user).clone() };
        call("writing the User's status", api.replace_status(&user.name_any(), &as_latchkey(), &changed))
            .await?;
    }
    Ok(Action::await_change())
}
