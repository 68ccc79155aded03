//! Where the control plane's binaries are.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::error::Error;

/// The programs that make up a local control plane, and the client for it.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The API server's storage.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// The command-line client.
    pub kubectl: PathBuf,
}

impl Binaries {
    /// Takes them from one directory, which has to hold all three.
    pub fn locate(dir: &Path) -> Result<Self, Error> {
        let find = |name: &'static str| {
            let path = dir.join(name);
            let path = std::path::absolute(&path).unwrap_or(path);
            path.is_file().then_some(path).ok_or_else(|| Error::Missing { name, dir: dir.to_owned() })
        };
        Ok(Self { etcd: find("etcd")?, kube_apiserver: find("kube-apiserver")?, kubectl: find("kubectl")? })
    }

    /// Runs the install script (`hack/control-plane/install`), which finds, downloads or builds them. What it says
    /// about that goes to our own standard error: a build takes minutes.
    pub async fn install(script: &Path) -> Result<Self, Error> {
        let output = Command::new(script)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .await
            .map_err(|source| Error::Script { script: script.to_owned(), source })?;
        if !output.status.success() {
            return Err(Error::Install { script: script.to_owned(), status: output.status });
        }
        Self::locate(Path::new(String::from_utf8_lossy(&output.stdout).trim_end()))
    }
}
