//! The certificates of one local control plane: ECDSA P-256 keys in PKCS#8, all from one authority that lives in
//! memory, for as long as the control plane runs.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::error::Error;

const HOUR: Duration = Duration::from_hours(1);
const YEAR: Duration = Duration::from_hours(365 * 24);

/// The certificate authority that the API server and its clients trust.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(super) struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub(super) fn new() -> Result<Self, Error> {
        let subject = "latchkey-local-ca";
        let mut params = params(subject);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = KeyPair::generate().and_then(|key| CertifiedIssuer::self_signed(params, key));
        issuer.map(Self).map_err(|source| refused(subject, source))
    }

    /// The authority's own certificate.
    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    /// The authority's own certificate, in DER.
    pub(super) fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    /// A client as Kubernetes reads it: the user is the common name, the group is the organization.
    pub(super) fn client(&self, user: &str, group: Option<&str>) -> Result<Identity, Error> {
        let mut params = params(user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params).map_err(|source| refused(user, source))
    }

    /// Writes what the API server is told to read by [`super::flags::apiserver`].
    pub(super) fn write_server_files(&self, dir: &Path) -> Result<(), Error> {
        let signer = KeyPair::generate().map_err(|source| refused("service accounts", source))?;
        let server = self.server()?;
        write_private(&dir.join("ca.crt"), &self.pem())?;
        write_private(&dir.join("apiserver.crt"), &server.certificate)?;
        write_private(&dir.join("apiserver.key"), &server.key)?;
        write_private(&dir.join("sa-signer.pub"), &signer.public_key_pem())?;
        write_private(&dir.join("sa-signer.key"), &signer.serialize_pem())
    }

    fn server(&self) -> Result<Identity, Error> {
        let subject = "kube-apiserver";
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let named = CertificateParams::new(names).map_err(|source| refused(subject, source))?;
        let mut params = params(subject);
        params.subject_alt_names = named.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params).map_err(|source| refused(subject, source))
    }

    fn sign(&self, params: CertificateParams) -> Result<Identity, rcgen::Error> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// Valid from an hour ago, for clocks that were set back, and for longer than any demo runs.
fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let now = SystemTime::now();
    params.not_before = (now - HOUR).into();
    params.not_after = (now + YEAR).into();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

fn refused(subject: &str, source: rcgen::Error) -> Error {
    Error::Certificate { subject: subject.to_owned(), source }
}

/// Writes a file that only its owner can read.
pub(super) fn write_private(path: &Path, content: &str) -> Result<(), Error> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .map_err(|source| Error::Write { path: path.to_owned(), source })
}
