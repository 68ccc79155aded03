//! What can be shown with servers that are shell scripts; the real ones are started by the integration tests.

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

/// A directory of binaries in which etcd and kube-apiserver are scripts.
fn scripts(etcd: &str, apiserver: &str) -> (TempDir, Binaries) {
    let dir = tempfile::tempdir().unwrap();
    for (name, body) in [("etcd", etcd), ("kube-apiserver", apiserver), ("kubectl", "")] {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let binaries = Binaries::locate(dir.path()).unwrap();
    (dir, binaries)
}

async fn failure(binaries: &Binaries, data_dir: Option<PathBuf>) -> Error {
    let options = Options { data_dir, audit_log: false };
    LocalCluster::start(binaries, options).await.err().expect("scripts are no control plane")
}

async fn gone(dir: &Path) -> bool {
    for _ in 0..100 {
        if !dir.exists() {
            return true;
        }
        sleep(POLL).await;
    }
    false
}

fn long_sleep<'a>(dir: &'a Path, temporary: bool) -> Spec<'a> {
    let args = vec!["-c".to_owned(), "echo started; exec sleep 600".to_owned()];
    Spec { name: "sleeper", program: Path::new("/bin/sh"), args, dir, temporary }
}

#[tokio::test]
async fn a_server_that_dies_is_named_with_the_end_of_its_log() {
    let (_dir, binaries) = scripts("exec sleep 600", "echo first; echo no such flag; exit 3");
    let message = failure(&binaries, None).await.to_string();
    assert!(message.starts_with("kube-apiserver ended with exit code 3"), "{message}");
    assert!(message.ends_with("first\nno such flag"), "{message}");
}

#[tokio::test]
async fn storage_that_dies_is_not_waited_for() {
    let (_dir, binaries) = scripts("exit 1", "exec sleep 600");
    let error = failure(&binaries, None).await;
    assert!(matches!(error, Error::Ended { name: "etcd", .. }), "{error}");
}

#[tokio::test]
async fn a_port_clash_is_tried_again_and_no_more_than_three_times() {
    let count = tempfile::NamedTempFile::new().unwrap();
    let clash = format!("echo x >>{}; echo bind: address already in use; exit 1", count.path().display());
    let (_dir, binaries) = scripts("exec sleep 600", &clash);
    let error = failure(&binaries, None).await;
    assert!(error.is_port_clash(), "{error}");
    assert_eq!(std::fs::read_to_string(count.path()).unwrap().lines().count(), ATTEMPTS);
}

#[tokio::test]
async fn a_given_directory_stays_after_a_failed_start() {
    let (_dir, binaries) = scripts("exec sleep 600", "exit 1");
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    failure(&binaries, Some(data.clone())).await;
    assert!(data.join("kube-apiserver.log").exists());
}

#[tokio::test]
async fn a_dropped_server_takes_its_temporary_directory_with_it() {
    let dir = tempfile::tempdir().unwrap().keep();
    drop(Process::spawn(long_sleep(&dir, true)).unwrap());
    assert!(gone(&dir).await);
}

#[tokio::test]
async fn a_stopped_server_leaves_the_directory_to_others() {
    let dir = tempfile::tempdir().unwrap();
    Process::spawn(long_sleep(dir.path(), true)).unwrap().stop().await.unwrap();
    assert!(dir.path().exists());
}

#[test]
fn a_missing_binary_is_named() {
    let (dir, _binaries) = scripts("", "");
    std::fs::remove_file(dir.path().join("etcd")).unwrap();
    let message = Binaries::locate(dir.path()).unwrap_err().to_string();
    assert!(message.contains("has no etcd: run hack/control-plane/install"), "{message}");
}
