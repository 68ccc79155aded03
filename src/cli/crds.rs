//! `latchkey crds`: the custom resource definitions.

use crate::resources::definitions;
use clap::Args;
use std::{fs, io, io::Write, path::PathBuf};

#[derive(Debug, Args)]
pub(super) struct CrdsArgs {
    /// Write one file per kind into this folder instead of printing them.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Why the definitions could not be given out.
#[derive(Debug, thiserror::Error)]
pub(super) enum CrdsError {
    #[error("writing a definition as YAML failed: {0}")]
    Encode(#[from] serde_saphyr::ser::Error),
    #[error("writing the definitions failed: {0}")]
    Write(#[from] io::Error),
}

pub(super) fn crds(args: &CrdsArgs) -> Result<(), CrdsError> {
    let mut all = String::new();
    for crd in definitions() {
        let yaml = serde_saphyr::to_string(&crd)?;
        match &args.out {
            Some(folder) => {
                fs::create_dir_all(folder)?;
                fs::write(folder.join(format!("{}.yaml", crd.spec.names.plural)), yaml)?;
            }
            None => all.push_str(&format!("---\n{}\n", yaml.trim_end())),
        }
    }
    Ok(io::stdout().write_all(all.as_bytes())?)
}
