//! The directory of one control plane.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::error::Error;
use super::flags;
use super::pki::{Authority, write_private};

/// Where it is. Until somebody watches over it, a temporary one is removed on drop.
pub(super) enum Home {
    Given(PathBuf),
    Temporary(TempDir),
}

impl Home {
    pub(super) fn new(data_dir: Option<&Path>) -> Result<Self, Error> {
        let failed = |path: &Path, source| Error::Write { path: path.to_owned(), source };
        let Some(dir) = data_dir else {
            let made = tempfile::Builder::new().prefix("latchkey-").tempdir();
            return made.map(Self::Temporary).map_err(|source| failed(&std::env::temp_dir(), source));
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        let path = made.and_then(|()| std::path::absolute(dir)).map_err(|source| failed(dir, source))?;
        Ok(Self::Given(path))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(dir) => dir.path(),
        }
    }

    pub(super) fn temporary(&self) -> bool {
        matches!(self, Self::Temporary(_))
    }

    /// From here on the guards remove it.
    pub(super) fn keep(self) -> PathBuf {
        match self {
            Self::Given(path) => path,
            Self::Temporary(dir) => dir.keep(),
        }
    }

    /// Certificates, the audit policy, and empty logs, so that an error quotes this start and no earlier one.
    pub(super) fn fill(&self, authority: &Authority) -> Result<(), Error> {
        authority.write_server_files(self.path())?;
        write_private(&self.path().join(flags::AUDIT_POLICY_FILE), flags::AUDIT_POLICY)?;
        write_private(&self.path().join("etcd.log"), "")?;
        write_private(&self.path().join("kube-apiserver.log"), "")
    }
}
