//! Latchkey: API keys as Kubernetes resources.
//!
//! The binary `latchkey` is a thin shell over this library, so that tests and benchmarks use what it uses.
//! `docs/architecture.md` says what each module is for and what it must not know.

pub mod cli;
pub mod cluster;
pub mod controllers;
pub mod lifecycle;
pub mod local_cluster;
pub mod policy;
pub mod resources;
pub mod telemetry;
pub mod token;
pub mod verifier;

#[cfg(test)]
mod rooms {
    //! What a module must not know, looked for in its sources.

    use std::{fs, path::Path};

    fn sources(place: &Path) -> Vec<(String, String)> {
        if place.is_file() {
            return vec![(place.display().to_string(), fs::read_to_string(place).unwrap())];
        }
        fs::read_dir(place).unwrap().flat_map(|entry| sources(&entry.unwrap().path())).collect()
    }

    #[test]
    fn keep_to_what_they_may_know() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let pure = [
            "tokio",
            "kube::Client",
            "Client,",
            "Api<",
            "Timestamp::now()",
            "crate::cluster",
            "crate::controllers",
        ];
        let request_path = ["kube::Client", "Client,", "Api<", "crate::controllers", "api::core::v1::Secret"];
        for (room, forbidden) in [
            ("token.rs", &pure[..]),
            ("resources", &pure[..]),
            ("lifecycle", &pure[..]),
            ("policy", &pure[..]),
            ("verifier", &request_path[..]),
        ] {
            for (file, text) in sources(&root.join(room)) {
                let code = text.split("#[cfg(test)]").next().unwrap();
                for word in forbidden {
                    assert!(file.contains("/tests/") || !code.contains(word), "{file} mentions {word}");
                }
            }
        }
    }
}
