//! What can go wrong while a local control plane is found, started, used and ended.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why there is no local control plane.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A directory of binaries is not complete.
    #[error("{} has no {name}: run hack/control-plane/install, which prints a directory that has it", dir.display())]
    Missing {
        /// The binary that is not there.
        name: &'static str,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// The install script could not be run at all.
    #[error("could not run {}: {source}; it is part of Latchkey's source tree", script.display())]
    Script {
        /// The script's path as it was given.
        script: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The install script gave up.
    #[error("{} ended with {status}: it says above what is missing", script.display())]
    Install {
        /// The script's path as it was given.
        script: PathBuf,
        /// How it ended.
        status: ExitStatus,
    },
    /// A file or directory of the control plane could not be written.
    #[error("could not write {}: {source}; choose a directory that can be written", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No certificate could be made.
    #[error(
        "could not make a certificate for {subject}: {source}; the name has to be valid in a certificate"
    )]
    Certificate {
        /// Whom it was for.
        subject: String,
        /// What the certificate library said.
        source: rcgen::Error,
    },
    /// The system has no free port.
    #[error("could not find a free port on 127.0.0.1: {0}; end other programs that listen there")]
    Ports(#[source] io::Error),
    /// The shell that watches over a server could not be started.
    #[error("could not start {name} by /bin/sh: {source}")]
    Spawn {
        /// The server.
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A server ended although nobody asked it to.
    #[error("{name} ended with exit code {code} before the control plane was ready; the end of {}:\n{tail}", log.display())]
    Ended {
        /// The server.
        name: &'static str,
        /// Its exit code.
        code: String,
        /// Its whole log, as long as the directory is there.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A server runs and does not answer as it should.
    #[error("{name} was not ready after {seconds} s ({last}); the end of {}:\n{tail}", log.display())]
    NotReady {
        /// The server.
        name: &'static str,
        /// How long it was given.
        seconds: u64,
        /// What the last look at it found.
        last: String,
        /// Its whole log, as long as the directory is there.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A server could not be ended in an orderly way.
    #[error("could not end {name} in an orderly way: {source}; it ends with this process")]
    Stop {
        /// The server.
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// No client could be made from our own configuration.
    #[error("could not make a client for the local API server: {0}")]
    Client(#[source] Box<kube::Error>),
    /// An identity could not be put into a client configuration.
    #[error("could not write the client configuration of {user}: {reason}")]
    Kubeconfig {
        /// Whom it was for.
        user: String,
        /// What the serializer said.
        reason: String,
    },
}

impl Error {
    /// Another program took a port between our finding it free and the server's listening on it.
    pub(super) fn is_port_clash(&self) -> bool {
        matches!(self, Self::Ended { tail, .. } if tail.contains("address already in use"))
    }
}
