//! Reconciling keys of either kind.

mod apply;
mod finalize;
mod gather;
pub(super) mod secret;
mod undecodable;

pub(super) use gather::owner_of;
pub(super) use undecodable::report as report_undecodable;

use super::{
    context::{KeyContext, as_latchkey},
    error::Error,
};
use crate::{
    cluster::client::call,
    lifecycle::{
        KeyView,
        conditions::Reason,
        deadlines, issue,
        issue::Issue,
        status::{self, Notice},
    },
    resources::{Key, KeyStatus},
};
use apply::Applied;
use gather::Surroundings;
use jiff::Timestamp;
use kube::{Api, ResourceExt, runtime::controller::Action};
use std::sync::Arc;

/// How often a decision is made anew in one pass because the Secret turned out to be different.
const ATTEMPTS: usize = 3;

/// Brings a key to what it should be, and says when to look at it again.
pub(super) async fn reconcile<K: Key>(key: Arc<K>, context: Arc<KeyContext<K>>) -> Result<Action, Error> {
    let key = context.written.fresher(key);
    if key.meta().deletion_timestamp.is_some() {
        return finalize::finalize(&key, &context).await;
    }
    let now = context.shared.now();
    let Some(around) = gather::surroundings(&KeyView::of(&*key), &context) else {
        return Ok(Action::await_change());
    };
    match around {
        Surroundings::Unowned(reason) => withhold(&key, &context, None, &reason, now).await,
        Surroundings::Member(member) => reconcile_member(key, &context, &member, now).await,
    }
}

async fn reconcile_member<K: Key>(
    key: Arc<K>,
    context: &KeyContext<K>,
    member: &gather::Member,
    now: Timestamp,
) -> Result<Action, Error> {
    let view = KeyView::of(&*key);
    let Some(admission) = &member.admission else {
        if let Some(reason) = issue::unfit(&view, &member.terms, &member.owner, now) {
            return withhold(&key, context, Some(member), &reason, now).await;
        }
        // There is a free slot, and the organization's own reconcile is about to give it to somebody. The finalizer
        // will be needed then, and writing it meanwhile saves the key a wait.
        apply::with_finalizer(&key, context).await?;
        return Ok(Action::await_change());
    };
    if let Some((record, version)) = gather::unchanged_record(&view, context, member, now) {
        let applied = Applied { key: Arc::clone(&key), record, secret_version: Some(version) };
        return settle(applied, context, member, admission, now).await;
    }
    for attempt in 0..ATTEMPTS {
        let inspected = gather::inspect(&view, context, attempt > 0).await?;
        let found = member.found(view, admission, &inspected);
        match issue::decide(&found, now) {
            Issue::Withhold(reason) => return withhold(&key, context, Some(member), &reason, now).await,
            decided => match apply::apply(&key, context, decided, inspected, now).await? {
                Some(applied) => return settle(applied, context, member, admission, now).await,
                None => continue,
            },
        }
    }
    Err(Error::Unsettled(view.secret_name().to_owned()))
}

/// Writes the status of an issued key.
async fn settle<K: Key>(
    applied: Applied<K>,
    context: &KeyContext<K>,
    member: &gather::Member,
    admission: &issue::Admission,
    now: Timestamp,
) -> Result<Action, Error> {
    let Applied { key, record, secret_version } = applied;
    let view = KeyView::of(&*key);
    let issued = status::Issued {
        terms: &member.terms,
        owner: &member.owner,
        admission,
        record: &record,
        secret_version,
        membership: &member.membership,
    };
    let status = status::issued(&view, &issued, now);
    let wake = deadlines::next(&view, &member.terms, &record, status.expires_at, now);
    write_status(&key, context, status).await?;
    Ok(context.shared.wake(wake))
}

/// Writes the status of a key that gets no token.
async fn withhold<K: Key>(
    key: &Arc<K>,
    context: &KeyContext<K>,
    member: Option<&gather::Member>,
    reason: &Reason,
    now: Timestamp,
) -> Result<Action, Error> {
    let view = KeyView::of(&**key);
    let organization = member.map(|member| member.terms.name.as_str());
    let admission = member.and_then(|member| member.admission.as_ref());
    let status = status::withheld(&view, organization, admission, reason, now);
    write_status(key, context, status).await?;
    let unwatched = matches!(
        reason,
        Reason::SecretConflict { .. }
            | Reason::ImportNotFound { .. }
            | Reason::ImportRefused { .. }
            | Reason::TokenInUse { .. }
    );
    let again = unwatched.then(|| now.saturating_add(issue::LOOK_AGAIN.signed()).unwrap_or(now));
    Ok(context.shared.wake(again.or_else(|| view.spec.expires_at.filter(|end| *end > now))))
}

/// Writes a status if it says something new, and tells what happened.
async fn write_status<K: Key>(key: &Arc<K>, context: &KeyContext<K>, status: KeyStatus) -> Result<(), Error> {
    let before = key.key_status();
    if before == Some(&status) {
        return Ok(());
    }
    let notices = status::notices(before, &status);
    let api: Api<K> = Api::namespaced(context.shared.client.clone(), &key.namespace().unwrap_or_default());
    let changed = key.with_status(status);
    let answer =
        call("writing the key's status", api.replace_status(&key.name_any(), &as_latchkey(), &changed))
            .await?;
    context.written.remember(answer);
    // The first issue is plain from the key itself, and an Event for it would be one more write for every key.
    let worth_telling = notices.into_iter().filter(|notice: &Notice| notice.reason != "Issued");
    let about = key.object_ref(&());
    worth_telling.for_each(|notice| context.shared.events.tell(&about, notice));
    Ok(())
}
