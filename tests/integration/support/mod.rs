//! What tests share: the control plane, the operators, a namespace of one's own, the door.

pub mod door;
pub mod lab;
pub mod objects;
pub mod operator;
pub mod proxy;
pub mod world;

pub use lab::Lab;
pub use world::World;

use libtest_mimic::{Failed, Trial};
use std::{fmt::Debug, future::Future, time::Duration};

/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A test that runs in a namespace of its own.
pub fn trial<F, Fut>(name: &'static str, body: F) -> Trial
where
    F: Fn(Lab) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Trial::test(name, move || {
        let world = World::get();
        let lab = world.block_on(Lab::open(world, name));
        world.block_on(body(lab));
        Ok::<(), Failed>(())
    })
}

/// Asks again and again until the answer is as wanted, and gives that answer. For what can't be watched.
pub async fn eventually<T, Fut>(what: &str, mut ask: impl FnMut() -> Fut, wanted: impl Fn(&T) -> bool) -> T
where
    T: Debug,
    Fut: Future<Output = T>,
{
    let begun = std::time::Instant::now();
    let mut pause = tokio::time::interval(Duration::from_millis(10));
    loop {
        pause.tick().await;
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: still {answer:?}");
    }
}
