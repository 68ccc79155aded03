//! The walk through a key's life, in the order in which a newcomer meets it.

mod calling;
mod declaring;
mod ending;
mod limit;
mod rotation;

use super::{
    DemoError,
    door::Call,
    seen::StepError,
    stage::{self, Stage},
};

pub(super) use declaring::install;

/// What the commands of the walk read, beside the kubeconfig.
pub(super) const FILES: [(&str, &str); 5] = [
    ("examples/organization.yaml", include_str!("../../../../examples/organization.yaml")),
    ("examples/people.yaml", include_str!("../../../../examples/people.yaml")),
    ("examples/managementkey.yaml", include_str!("../../../../examples/managementkey.yaml")),
    ("demo/three-more.yaml", include_str!("three-more.yaml")),
    ("demo/sixth.yaml", include_str!("sixth.yaml")),
];

/// A call that every key of the walk allows.
const LIST_PROJECTS: Call = Call { method: "GET", path: "/management/v1/projects", project: None };

/// All chapters after the installation.
pub(super) async fn walk(stage: &Stage) -> Result<(), DemoError> {
    chapter("2. Declare keys", declaring::declare(stage)).await?;
    let token = chapter("3. Call", calling::call(stage)).await?;
    chapter("4. A limit of five", limit::limit(stage)).await?;
    chapter("5. Rotate", rotation::rotate(stage)).await?;
    chapter("6. Suspend and resume", ending::suspend(stage, &token)).await?;
    chapter("7. Revoke", ending::revoke(stage)).await?;
    chapter("8. The reveal window", ending::close_window(stage, &token)).await
}

/// One chapter: its title, its steps, and its name on what goes wrong in it.
pub(super) async fn chapter<T>(
    title: &'static str,
    steps: impl Future<Output = Result<T, StepError>>,
) -> Result<T, DemoError> {
    stage::say(&format!("\n\n{title}"));
    steps.await.map_err(|source| DemoError::Step { chapter: title, source })
}
