//! Telling people what happened, as Kubernetes Events.

use crate::lifecycle::status::Notice;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::sync::mpsc;

/// How many Events may wait. They are for people: where there are more than this, what matters is in the conditions.
const BACKLOG: usize = 1024;

/// Where notices go. They are published by a task of their own, because a reconcile never waits for an Event.
#[derive(Clone)]
pub struct Events(mpsc::Sender<(ObjectReference, Notice)>);

impl Events {
    /// Starts publishing. The task ends when the last clone is dropped.
    pub fn start(client: Client) -> Self {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let reporter = Reporter { controller: "latchkey".into(), instance: std::env::var("HOSTNAME").ok() };
        tokio::spawn(publish(Recorder::new(client, reporter), receiver));
        Self(sender)
    }

    /// Tells of a notice about an object. A full backlog drops it.
    pub fn tell(&self, about: &ObjectReference, notice: Notice) {
        if self.0.try_send((about.clone(), notice)).is_err() {
            tracing::debug!(object = ?about.name, "an Event was dropped because too many wait");
        }
    }
}

async fn publish(recorder: Recorder, mut receiver: mpsc::Receiver<(ObjectReference, Notice)>) {
    while let Some((about, notice)) = receiver.recv().await {
        let event = Event {
            type_: if notice.warning { EventType::Warning } else { EventType::Normal },
            reason: notice.reason.to_owned(),
            note: Some(notice.note),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = recorder.publish(&event, &about).await {
            tracing::debug!(object = ?about.name, reason = event.reason, %error, "an Event could not be published");
        }
    }
}
